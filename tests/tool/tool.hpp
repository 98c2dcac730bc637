#pragma once
/// What the tests of the command-line tool share: models and pictures to run it on, and checks of its output.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/process.hpp"

/// Without this Catch2 would print a JSON number as an endless range of numbers.
template <>
struct Catch::StringMaker<nlohmann::json> {
  static std::string convert(const nlohmann::json& value) { return value.dump(); }
};

namespace vbp_test {

namespace fs = std::filesystem;
using nlohmann::json;

inline const fs::path kGolden = fs::path(VBP_TEST_DIR) / "golden";

template <class... Arguments>
std::vector<std::string> tool_command(const Arguments&... arguments) {
  return {VBP_TOOL, fs::path(arguments).string()...};
}

/// Runs the tool with these arguments, each a text or a path.
template <class... Arguments>
Outcome run_tool(const Arguments&... arguments) {
  return Process(tool_command(arguments...)).wait();
}

/// Runs the tool and requires success with nothing on stderr; returns stdout.
template <class... Arguments>
std::string require_tool(const Arguments&... arguments) {
  const Outcome outcome = run_tool(arguments...);
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.err.empty());
  return outcome.out;
}

inline std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  INFO(path.string());
  REQUIRE(file.is_open());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_text(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  REQUIRE(file.good());
}

inline json read_json(const fs::path& path) {
  return json::parse(read_text(path));
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Checks that a run was refused: the exit code, nothing on stdout, and one line on stderr that contains all
/// parts.
inline void check_refusal(const Outcome& outcome, int code, std::initializer_list<std::string> parts) {
  INFO("stderr: " << outcome.err << "stdout: " << outcome.out);
  CHECK(outcome.code == code);
  CHECK(outcome.out.empty());
  CHECK(outcome.err.starts_with("vbp: "));
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  CHECK(outcome.err.ends_with('\n'));
  for (const std::string& part : parts) {
    INFO("shall hold: " << part);
    CHECK(contains(outcome.err, part));
  }
}

/// All entries below a folder with the content of the files. If two snapshots are equal, nothing was written.
inline std::map<std::string, std::string> snapshot(const fs::path& folder) {
  std::map<std::string, std::string> entries;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    const bool plain = entry.symlink_status().type() == fs::file_type::regular;
    entries[entry.path().string()] = plain ? read_text(entry.path()) : std::string();
  }
  return entries;
}

/// A safetensors file in parts, so that a test can make it invalid.
struct RawModel {
  json header;
  std::string data;

  explicit RawModel(const fs::path& path) {
    const std::string bytes = read_text(path);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof(length));
    header = json::parse(bytes.substr(sizeof(length), length));
    data = bytes.substr(sizeof(length) + length);
  }

  json& metadata() { return header["__metadata__"]; }

  std::vector<float> values(const std::string& name) const {
    const auto [begin, end] = range(name);
    std::vector<float> values((end - begin) / sizeof(float));
    std::memcpy(values.data(), data.data() + begin, end - begin);
    return values;
  }

  /// Takes as many float32 values as the tensor has.
  void set_values(const std::string& name, const std::vector<float>& values) {
    const auto [begin, end] = range(name);
    REQUIRE(values.size() * sizeof(float) == end - begin);
    std::memcpy(data.data() + begin, values.data(), end - begin);
  }

  void fill(const std::string& name, float value) {
    set_values(name, std::vector<float>(values(name).size(), value));
  }

  /// Gives a tensor another shape and other values, which move to the end of the data.
  void replace(const std::string& name, const std::vector<std::size_t>& shape,
               const std::vector<float>& values) {
    const auto [begin, end] = range(name);
    const std::size_t bytes = end - begin;
    data.erase(begin, bytes);
    for (auto& [other, entry] : header.items()) {
      if (other == "__metadata__" || entry["data_offsets"][0] < end) continue;
      for (auto& offset : entry["data_offsets"]) offset = offset.get<std::size_t>() - bytes;
    }
    const std::size_t place = data.size();
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {place, data.size()}}};
  }

  fs::path write(const fs::path& path) const {
    const std::string text = header.dump(-1, ' ', false, json::error_handler_t::ignore);
    const std::uint64_t length = text.size();
    std::string bytes(sizeof(length), '\0');
    std::memcpy(bytes.data(), &length, sizeof(length));
    write_text(path, bytes + text + data);
    return path;
  }

 private:
  std::pair<std::size_t, std::size_t> range(const std::string& name) const {
    const json& offsets = header.at(name).at("data_offsets");
    return {offsets[0], offsets[1]};
  }
};

/// The golden pictures, 26 JPEG and PNG files of many kinds, in name order.
inline std::vector<fs::path> golden_images() {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(kGolden / "images")) {
    if (entry.path().extension() != ".ppm") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  REQUIRE(paths.size() == 26);
  return paths;
}

/// A folder with a small model of seven classes, `class 0` to `class 6`, and the golden pictures, divided
/// among one sub-folder a class.
struct Workplace {
  TemporaryFolder folder;
  fs::path model = folder / "model.safetensors";
  fs::path data = folder / "data";

  Workplace() {
    fs::copy_file(kGolden / "vit" / "plain.safetensors", model);
    std::size_t i = 0;
    for (const fs::path& image : golden_images()) {
      const fs::path to = data / ("class " + std::to_string(i++ % 7));
      fs::create_directories(to);
      fs::copy_file(image, to / image.filename());
    }
  }

  fs::path operator/(const fs::path& name) const { return folder / name; }

  /// Moves one picture of each class to a folder of as many classes.
  void deal_one_of_each_class(const fs::path& to) const {
    for (const auto& label : fs::directory_iterator(data)) {
      fs::create_directories(to / label.path().filename());
      const fs::path moved = fs::directory_iterator(label)->path();
      fs::rename(moved, to / label.path().filename() / moved.filename());
    }
  }
};

/// A sweep's report without the times, which differ from run to run.
inline json without_times(json report) {
  for (json& row : report["rows"]) row.erase("latency_ms"), row.erase("dense_latency_ms");
  return report;
}

}  // namespace vbp_test
