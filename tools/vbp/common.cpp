#include "common.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <limits>
#include <system_error>
#include <thread>
#include <utility>

#include <unistd.h>

namespace tool {

namespace fs = std::filesystem;
using vbp::Index;

// ---- options ----

const CLI::Validator not_empty(
    [](const std::string& text) { return text.empty() ? std::string("is empty") : std::string(); }, "");

CLI::Validator whole_number(Index least, Index most) {
  const auto check = [least, most](const std::string& text) {
    Index number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (whole && number >= least && number <= most) return std::string();
    const bool open = most == std::numeric_limits<Index>::max();
    return '"' + text + "\" is no whole number from " + std::to_string(least) +
           (open ? " up" : " to " + std::to_string(most));
  };
  return {check, ""};
}

void ModelOptions::add_to(CLI::App& app) {
  app.add_option("MODEL", file, "the model, a .safetensors file with timm's or Hugging Face's tensor names")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  add_settings_to(app);
}

void ModelOptions::add_settings_to(CLI::App& app) {
  app.add_option("--set", settings,
                 "a configuration value, before all that the files say; vbp info lists the keys")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  app.add_option("--image-size", image_size,
                 "run at another image size: a Vision Transformer's positions are interpolated")
      ->check(whole_number(1))
      ->type_name("N");
}

void RunOptions::add_to(CLI::App& app) {
  add_size_to(app);
  app.add_flag("--strict", strict, "stop at the first image that cannot be decoded");
}

void RunOptions::add_size_to(CLI::App& app) {
  app.add_option("--threads", threads, "threads of the model, at most 1024; default: one a hardware thread")
      ->check(whole_number(1, 1024))
      ->type_name("N");
  app.add_option("--batch", batch, "images that go through the model together, at most 65536")
      ->check(whole_number(1, 65536))
      ->capture_default_str()
      ->type_name("N");
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

CLI::Option* Room::add_to(CLI::App& app) {
  return app
      .add_option(
          "--memory", bytes,
          "memory for covariances, residual streams and the work on them, e.g. 500MB or 4GB (units of "
          "1024); what has no room is put into files, the images are gone over again. Default: all")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE");
}

void JsonOption::add_to(CLI::App& app) {
  app.add_option("--json", file, "also write the report to this file")->check(not_empty)->type_name("FILE");
}

namespace {

/// File names need not be UTF-8, JSON must be: what is not is replaced.
std::string text_of(const Json& report) {
  return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

void JsonOption::write(const Json& report) const {
  if (!file.empty()) vbp::io::write_file_atomically(file, text_of(report));
}

void commit(vbp::io::AtomicFile& product, const JsonOption& json, const Json& report) {
  product.prepare();
  std::optional<vbp::io::AtomicFile> report_file;
  if (!json.file.empty()) {
    report_file.emplace(json.file);
    report_file->write(text_of(report));
    report_file->prepare();
  }
  product.commit();
  if (report_file) report_file->commit();
}

int thread_count(const RunOptions& options) {
  if (options.threads > 0) return options.threads;
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

std::map<std::string, std::string> parse_settings(const std::vector<std::string>& settings) {
  std::map<std::string, std::string> values;
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw vbp::ValueError("--set takes KEY=VALUE, not \"" + setting + "\"");
    }
    const std::string key = setting.substr(0, equals);
    if (!values.emplace(key, setting.substr(equals + 1)).second) throw vbp::ValueError(key + " is set twice");
  }
  return values;
}

Checkpoint load(const ModelOptions& options) {
  auto overrides = parse_settings(options.settings);
  if (options.image_size && !overrides.emplace("image_size", std::to_string(*options.image_size)).second) {
    throw vbp::ValueError("image_size is set twice");
  }
  return load_checkpoint(options.file, overrides);
}

std::vector<fs::path> files_of(const ModelOptions& options) {
  const fs::path folder = fs::path(options.file).parent_path();
  return {options.file, folder / "config.json", folder / "preprocessor_config.json"};
}

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::weakly_canonical(a, error) == fs::weakly_canonical(b, error) || fs::equivalent(a, b, error);
}

void require_writable(const fs::path& out, const fs::path& json, const std::string& option) {
  for (const fs::path& path : {out, json}) {
    if (path.empty()) continue;
    const fs::path folder = folder_of(path);
    std::error_code error;
    if (!fs::is_directory(folder, error)) throw vbp::FileError(path.string(), "its folder does not exist");
    const vbp::io::AtomicFile attempt(path);
  }
  if (!out.empty() && !json.empty() && same_file(out, json)) {
    throw vbp::FileError(json.string(), "cannot be the file of both " + option + " and --json");
  }
}

void require_not_read(const std::vector<fs::path>& outputs, const std::vector<fs::path>& inputs) {
  std::error_code error;
  for (const fs::path& output : outputs) {
    if (output.empty() || !fs::exists(output, error)) continue;
    for (const fs::path& input : inputs) {
      if (fs::equivalent(output, input, error)) {
        throw vbp::FileError(output.string(), "would overwrite " + input.string() + ", which is read");
      }
    }
  }
}

std::vector<fs::path> paths_of(const std::vector<vbp::io::ImageEntry>& images) {
  std::vector<fs::path> paths;
  for (const vbp::io::ImageEntry& image : images) paths.push_back(image.path);
  return paths;
}

// ---- signals and progress ----

namespace {

volatile std::sig_atomic_t stop_requested = 0;

}  // namespace

bool interrupted() noexcept {
  return stop_requested != 0;
}

void set_signals() {
  struct sigaction action = {};
  // The first signal asks for a clean end, the second one ends the program.
  action.sa_handler = [](int) { stop_requested = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A file that reaches a limit of its size is an error of the write, as a full disk is, and no sudden end.
  std::signal(SIGXFSZ, SIG_IGN);
}

ProgressBar::ProgressBar(std::string title, std::string units, std::int64_t begun)
    : title_(std::move(title)),
      units_(std::move(units)),
      begun_(begun),
      terminal_(isatty(STDERR_FILENO) == 1),
      begin_(std::chrono::steady_clock::now()) {}

ProgressBar::~ProgressBar() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::show(std::int64_t done, std::int64_t total, const std::string& note) {
  using namespace std::chrono_literals;
  if (!terminal_ || total <= 0) return;
  const auto now = std::chrono::steady_clock::now();
  if (shown_ && done < total && now - last_ < 100ms) return;
  last_ = now;
  shown_ = true;
  constexpr int width = 30;
  const int filled = static_cast<int>(width * done / total);
  std::string pace = note.empty() ? "" : "  " + note;
  if (done > begun_) {
    const double seconds = std::max(1e-9, std::chrono::duration<double>(now - begin_).count());
    const double rate = static_cast<double>(done - begun_) / seconds;
    pace += "  " + fixed(rate, 1) + " " + units_ + "/s  " +
            fixed(static_cast<double>(total - done) / rate, 0) + " s left";
  }
  std::fprintf(stderr, "\r%s [%s%s] %lld/%lld%s\033[K", title_.c_str(),
               std::string(static_cast<std::size_t>(filled), '#').c_str(),
               std::string(static_cast<std::size_t>(width - filled), '.').c_str(),
               static_cast<long long>(done), static_cast<long long>(total), pace.c_str());
  std::fflush(stderr);
}

// ---- reports ----------------------------------------------------------------------------------------------

void report_failures(const std::vector<vbp::io::ImageFailure>& failures, Json& report) {
  report["failures"] = Json::array();
  for (const auto& [path, reason] : failures) {
    std::cerr << "vbp: left out: " << printable(path.string() + ": " + reason) << '\n';
    report["failures"].push_back({{"file", path.string()}, {"reason", reason}});
  }
}

void report_duplicates(const std::vector<fs::path>& duplicates, Json& report) {
  report["duplicates"] = Json::array();
  for (const fs::path& path : duplicates) {
    std::cerr << "vbp: left out: " << printable(path.string())
              << ": has the content of an image seen before\n";
    report["duplicates"].push_back(path.string());
  }
}

std::string left_out(std::size_t images) {
  return images == 0 ? "" : "images left out: " + std::to_string(images) + "\n";
}

void Evaluation::add_to(Json& report) const {
  report["top1"] = top1();
  if (classes >= 10) report["top5"] = top5();
  report["images"] = images;
  report["images_per_second"] = images_per_second();
}

// ---- text ----

std::string grouped(std::int64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && digits[i - 1] != '-' && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string scaled(double number) {
  if (number >= 1e9) return fixed(number / 1e9, 2) + " G";
  if (number >= 1e6) return fixed(number / 1e6, 2) + " M";
  if (number >= 1e3) return fixed(number / 1e3, 2) + " k";
  return fixed(number, 0);
}

std::string change(double before, double after) {
  char text[64];
  std::snprintf(text, sizeof(text), "%+.1f %%", 100.0 * (after - before) / before);
  return text;
}

std::string printable(const std::string& text) {
  std::string shown;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // the control characters U+0080 to U+009F
      shown += '?';
      ++i;
    } else if (byte == '\n' || byte == '\r' || byte == '\t') {
      shown += ' ';
    } else {
      shown += byte < 0x20 || byte == 0x7f ? '?' : text[i];
    }
  }
  return shown;
}

namespace {

/// Characters of a UTF-8 text; of its bytes, those that begin one.
std::size_t length_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = printable(cell);
  rows_.push_back(std::move(row));
}

void Table::print() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t j = 0; j < row.size(); ++j) widths[j] = std::max(widths[j], length_of(row[j]));
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t j = 0; j < row.size(); ++j) {
      const std::string padding(widths[j] - length_of(row[j]), ' ');
      line += (j == 0 ? "" : "  ") + (j < text_columns_ ? row[j] + padding : padding + row[j]);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    std::cout << line << '\n';
  }
}

}  // namespace tool
