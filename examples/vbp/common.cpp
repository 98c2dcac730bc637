#include "common.hpp"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <thread>
#include <utility>

#include <unistd.h>

namespace tool {

namespace fs = std::filesystem;
using vbp::Index;

// ---- options
// -----------------------------------------------------------------------------------------------

void ModelOptions::add_to(CLI::App& app) {
  app.add_option("MODEL", file, "the model, a .safetensors file with timm's or Hugging Face's tensor names")
      ->required();
  app.add_option("--set", settings,
                 "a configuration value, KEY=VALUE, before all that the files say (vbp info lists them)")
      ->take_all();
  app.add_option("--image-size", image_size, "run at another image size: positions are interpolated");
}

void RunOptions::add_to(CLI::App& app) {
  app.add_option("--threads", threads, "threads of the model; default: one a hardware thread")
      ->check(CLI::Range(1, 1024));
  app.add_option("--batch", batch, "images that go through the model together")
      ->check(CLI::Range(Index{1}, Index{65536}))
      ->capture_default_str();
  app.add_flag("--strict", strict, "stop at the first image that cannot be decoded");
}

void JsonOption::add_to(CLI::App& app) {
  app.add_option("--json", file, "also write the report to this file");
}

void JsonOption::write(const Json& report) const {
  if (file.empty()) return;
  // File names need not be UTF-8, JSON must be: what is not is replaced.
  vbp::io::write_file_atomically(file, report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

int thread_count(const RunOptions& options) {
  if (options.threads > 0) return options.threads;
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

vbp::VitCheckpoint load(const ModelOptions& options) {
  std::map<std::string, std::string> overrides;
  for (const std::string& setting : options.settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw vbp::ValueError("--set takes KEY=VALUE, not \"" + setting + "\"");
    }
    overrides[setting.substr(0, equals)] = setting.substr(equals + 1);
  }
  vbp::VitCheckpoint checkpoint = vbp::load_vit(options.file, overrides);
  if (options.image_size) {
    checkpoint.model = vbp::with_image_size(std::move(checkpoint.model), *options.image_size);
    checkpoint.preprocessing.image_size = *options.image_size;
    for (vbp::ConfigValue& value : checkpoint.values) {
      if (value.key == "image_size") value = {"image_size", std::to_string(*options.image_size), "option"};
    }
  }
  return checkpoint;
}

void require_writable(const fs::path& path, const fs::path& input) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  if (!fs::is_directory(folder, error)) throw vbp::FileError(path.string(), "its folder does not exist");
  if (access(folder.c_str(), W_OK) != 0) throw vbp::FileError(path.string(), "its folder is not writable");
  if (fs::is_directory(path, error)) throw vbp::FileError(path.string(), "is a folder");
  if (fs::equivalent(path, input, error)) throw vbp::FileError(path.string(), "would overwrite the input");
}

// ---- signals and progress
// ------------------------------------------------------------------------------------

namespace {

volatile std::sig_atomic_t stop_requested = 0;

}  // namespace

bool interrupted() noexcept {
  return stop_requested != 0;
}

void catch_signals() {
  struct sigaction action = {};
  // The first signal asks for a clean end, the second one ends the program.
  action.sa_handler = [](int) { stop_requested = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

ProgressBar::ProgressBar(std::string title)
    : title_(std::move(title)),
      terminal_(isatty(STDERR_FILENO) == 1),
      begin_(std::chrono::steady_clock::now()) {}

ProgressBar::~ProgressBar() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::show(std::int64_t done, std::int64_t total) {
  using namespace std::chrono_literals;
  if (!terminal_ || total <= 0) return;
  const auto now = std::chrono::steady_clock::now();
  if (shown_ && done < total && now - last_ < 100ms) return;
  last_ = now;
  shown_ = true;
  constexpr int width = 30;
  const int filled = static_cast<int>(width * done / total);
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  const double rate = static_cast<double>(done) / std::max(seconds, 1e-9);
  const double left = static_cast<double>(total - done) / std::max(rate, 1e-9);
  std::fprintf(stderr, "\r%s [%s%s] %lld/%lld  %.1f images/s  %.0f s left\033[K", title_.c_str(),
               std::string(static_cast<std::size_t>(filled), '#').c_str(),
               std::string(static_cast<std::size_t>(width - filled), '.').c_str(),
               static_cast<long long>(done), static_cast<long long>(total), rate, left);
  std::fflush(stderr);
}

// ---- reports ----------------------------------------------------------------------------------------------

void report_skipped(const Skipped& skipped, Json& report) {
  report["failures"] = Json::array();
  for (const auto& [path, reason] : skipped.failures) {
    std::cerr << "vbp: left out: " << path.string() << ": " << reason << '\n';
    report["failures"].push_back({{"file", path.string()}, {"reason", reason}});
  }
  report["duplicates"] = Json::array();
  for (const fs::path& path : skipped.duplicates) {
    std::cerr << "vbp: left out: " << path.string() << ": has the content of an image seen before\n";
    report["duplicates"].push_back(path.string());
  }
}

void Evaluation::add_to(Json& report) const {
  report["top1"] = top1();
  if (classes >= 10) report["top5"] = top5();
  report["images"] = images;
  report["images_per_second"] = images_per_second();
}

// ---- text
// ----------------------------------------------------------------------------------------------------

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

void Table::print() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t j = 0; j < row.size(); ++j) widths[j] = std::max(widths[j], row[j].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t j = 0; j < row.size(); ++j) {
      const std::string padding(widths[j] - row[j].size(), ' ');
      line += j == 0 ? row[j] + padding : "  " + padding + row[j];
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    std::cout << line << '\n';
  }
}

}  // namespace tool
