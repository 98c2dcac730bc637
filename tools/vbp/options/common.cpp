#include "options/common.hpp"

#include <charconv>
#include <system_error>

#include "options/files.hpp"

namespace tool {

using vbp::Index;

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

void ModelSettings::add_to(CLI::App& app) {
  app.add_option("--set", settings,
                 "a configuration value that overrides what the files say; vbp info lists the keys")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  app.add_option("--image-size", image_size,
                 "run at another image size: a Vision Transformer's positions are interpolated")
      ->check(whole_number(1))
      ->type_name("N");
}

vbp::AnyModel ModelSettings::load(const std::string& file) const {
  return vbp::load_model(file, {.settings = parse_settings(settings), .image_size = image_size});
}

void ModelOptions::add_to(CLI::App& app) {
  app.add_option("MODEL", file, "the model, a .safetensors file with timm's or Hugging Face's tensor names")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  settings.add_to(app);
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

void JsonOption::add_to(CLI::App& app) {
  app.add_option("--json", file, "also write the report to this file")->check(not_empty)->type_name("FILE");
}

void JsonOption::write(const Json& report) const {
  if (!file.empty()) vbp::io::write_file_atomically(file, text_of(report));
}

CLI::Option* MemoryOption::add_to(CLI::App& app) {
  return app
      .add_option(
          "--memory", bytes,
          "memory for covariances, residual streams and the work on them, e.g. 500MB or 4GB (units of "
          "1024). The rest spills to temporary files, and the images are read again for each group of "
          "blocks. Default: no limit")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE");
}

vbp::MemoryLimit MemoryOption::limit(const std::filesystem::path& output) const {
  return {.bytes = bytes, .folder = folder_of(output)};
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

}  // namespace tool
