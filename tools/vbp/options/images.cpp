#include "options/images.hpp"

#include "vbp/pipeline/image_folder.hpp"

namespace tool {

ListedImages::ListedImages(std::vector<vbp::io::ImageEntry> listed)
    : entries(std::move(listed)), source(vbp::image_files(entries)) {}

ListedImages list_labelled(const std::filesystem::path& folder, const vbp::AnyModel& model,
                           std::optional<vbp::Index> limit) {
  return ListedImages(vbp::labelled_entries(folder, model, {.limit = limit}));
}

ListedImages list_images(const std::filesystem::path& folder, std::optional<vbp::Index> limit,
                         const vbp::AnyModel* labels_of) {
  if (labels_of != nullptr) return list_labelled(folder, *labels_of, limit);
  std::vector<vbp::io::ImageEntry> entries = vbp::io::find_images(folder);
  return ListedImages(limit ? vbp::io::spread(entries, *limit) : std::move(entries));
}

std::vector<vbp::io::Hash128> known_hashes(const std::vector<std::optional<vbp::io::Hash128>>& hashes) {
  std::vector<vbp::io::Hash128> known;
  for (const auto& hash : hashes) {
    if (hash) known.push_back(*hash);
  }
  return known;
}

}  // namespace tool
