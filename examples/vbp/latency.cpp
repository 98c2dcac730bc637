#include "latency.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <utility>

#include "vbp/io/hash.hpp"
#include "vbp/kernels/peak.hpp"

namespace tool {

namespace fs = std::filesystem;
using vbp::Index;

namespace {

/// Times are close to linear in the width; what bends them is the cache, and seven points show that.
constexpr Index kPoints = 7;

/// About evenly spaced multiples of the kernels' panel, from one panel to the widest block.
std::vector<Index> measured_widths(const vbp::VitConfig& config) {
  const auto panel = static_cast<Index>(vbp::kernels::table<float>().panel);
  const Index widest = *std::max_element(config.hidden_widths.begin(), config.hidden_widths.end());
  const Index panels = (widest + panel - 1) / panel;
  std::vector<Index> widths;
  for (Index i = 0; i < kPoints; ++i) {
    const Index width = panel * (1 + i * (panels - 1) / (kPoints - 1));
    if (widths.empty() || width > widths.back()) widths.push_back(width);
  }
  return widths;
}

/// The model with all blocks of one width, cut or filled up with zeros: what the values are changes no time.
vbp::VisionTransformer<float> with_width(vbp::VisionTransformer<float> model, Index width) {
  for (auto& block : model.blocks) {
    const Index dim = model.config.dim;
    const auto resized = [](const auto& from, Index rows, Index columns) {
      vbp::Matrix<float> to = vbp::Matrix<float>::Zero(rows, columns);
      const Index r = std::min(rows, from.rows()), c = std::min(columns, from.cols());
      to.topLeftCorner(r, c) = from.topLeftCorner(r, c);
      return to;
    };
    block.fc1.weight = resized(block.fc1.weight, width, dim);
    block.fc1.bias = vbp::Vector<float>::Zero(width);
    block.fc2.weight = resized(block.fc2.weight, dim, width);
  }
  model.update_widths();
  return model;
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line;
  }
  return "";
}

/// Everything that the times depend on. Another layout of the file is another version.
Json key_of(const vbp::VitConfig& config, const RunOptions& run, Index batch) {
  return {{"version", 1},
          {"cpu", printable(cpu_name())},
          {"hardware_threads", std::thread::hardware_concurrency()},
          {"kernels", vbp::kernels::table<float>().architecture},
          {"threads", thread_count(run)},
          {"batch", batch},
          {"dim", config.dim},
          {"heads", config.heads},
          {"tokens", config.tokens()},
          {"patch_elements", config.patch_elements()},
          {"outputs", config.outputs()},
          {"hidden_widths", config.hidden_widths}};
}

/// $XDG_CACHE_HOME/vbp/latency-<hash of the key>.json, or below ~/.cache; nothing where there is neither.
fs::path cache_file(const Json& key) {
  const auto folder_of = [](const char* variable) {
    const char* const text = std::getenv(variable);
    return fs::path(text == nullptr ? "" : text);
  };
  fs::path folder = folder_of("XDG_CACHE_HOME");
  // What is relative shall be ignored, says the XDG Base Directory Specification.
  if (!folder.is_absolute()) folder = folder_of("HOME") / ".cache";
  if (!folder.is_absolute()) return {};
  const std::string text = key.dump();
  const auto hash = vbp::io::hash_bytes(std::as_bytes(std::span(text)));
  return folder / "vbp" / ("latency-" + hash.to_string() + ".json");
}

/// The times in a cache file; nothing where it is not there, of something else, or broken.
std::optional<std::vector<double>> read_times(const fs::path& path, const Json& key, std::size_t count) {
  std::ifstream file(path, std::ios::binary);
  const Json content = Json::parse(file, nullptr, false);
  if (!content.is_object() || content.value("key", Json()) != key) return std::nullopt;
  const Json times = content.value("times", Json());
  if (!times.is_array() || times.size() != count) return std::nullopt;
  std::vector<double> values;
  for (const Json& time : times) {
    if (!time.is_number() || !(time.get<double>() > 0.0)) return std::nullopt;
    values.push_back(time.get<double>());
  }
  return values;
}

/// A cache that cannot be written is none: the next run measures again.
void write_times(const fs::path& path, const Json& key, const std::vector<double>& times) {
  if (path.empty()) return;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  try {
    vbp::io::write_file_atomically(path, Json{{"key", key}, {"times", times}}.dump(2) + "\n");
  } catch (const vbp::FileError&) {
  }
}

}  // namespace

LatencyModel::LatencyModel(const vbp::VitCheckpoint& dense, const RunOptions& run, Index batch) {
  const vbp::VitConfig& config = dense.model.config;
  blocks_ = static_cast<double>(config.depth());
  curve_.widths = measured_widths(config);
  const Json key = key_of(config, run, batch);
  const fs::path file = cache_file(key);
  ProgressBar bar("measuring widths");
  const auto total = static_cast<std::int64_t>(curve_.widths.size());
  if (auto times = read_times(file, key, curve_.widths.size())) {
    curve_.times = std::move(*times);
  } else {
    for (const Index width : curve_.widths) {
      bar.show(static_cast<std::int64_t>(curve_.times.size()), total);
      const auto [whole, cut] = measure(dense.model, with_width(dense.model, width), run, batch);
      curve_.times.push_back(cut.median / whole.median);
    }
    write_times(file, key, curve_.times);
  }
  bar.show(total, total);
  // Dense is 1 by definition, whatever its noise was.
  double whole = 0.0;
  for (const Index width : config.hidden_widths) whole += block_share(width);
  for (double& time : curve_.times) time /= whole;
  dense_ms_ = measure(dense.model, dense.model, run, batch).first.median;
}

double LatencyModel::block_share(Index width) const noexcept {
  // The last panel is computed to whole vectors.
  const auto vector = static_cast<Index>(vbp::kernels::table<float>().register_bytes / sizeof(float));
  return curve_((width + vector - 1) / vector * vector) / blocks_;
}

double LatencyModel::share(const vbp::PruningPlan& plan) const {
  double sum = 0.0;
  for (const vbp::PruningPlan::Block& block : plan.blocks) sum += block_share(block.kept_width());
  return sum;
}

}  // namespace tool
