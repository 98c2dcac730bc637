#include "options/files.hpp"

#include <optional>
#include <system_error>

namespace tool {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

void require_folder_of(const fs::path& file) {
  std::error_code error;
  if (fs::is_directory(folder_of(file), error)) return;
  throw vbp::FileError(file.string(), "its folder does not exist");
}

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::weakly_canonical(a, error) == fs::weakly_canonical(b, error) || fs::equivalent(a, b, error);
}

void require_writable(const fs::path& out, const fs::path& json, const std::string& option) {
  for (const fs::path& path : {out, json}) {
    if (path.empty()) continue;
    require_folder_of(path);
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

std::string text_of(const Json& report) {
  return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
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

}  // namespace tool
