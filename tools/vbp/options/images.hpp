#pragma once
/// The images that a subcommand takes from folders.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "options/common.hpp"
#include "vbp/core/context.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/image_folder.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/image_source.hpp"

namespace tool {

/// Images that were listed: their files, for checks, and the same as a source.
struct ListedImages {
  std::vector<vbp::io::ImageEntry> entries;
  vbp::ImageSource source;

  explicit ListedImages(std::vector<vbp::io::ImageEntry> listed);
};

/// The labelled images of a folder, `limit` of them where one is given. Throws FileError.
ListedImages list_labelled(const std::filesystem::path& folder, const vbp::AnyModel& model,
                           std::optional<vbp::Index> limit);

/// All images of a folder, `limit` of them where one is given; labelled for `labels_of` where that is given.
/// Throws FileError.
ListedImages list_images(const std::filesystem::path& folder, std::optional<vbp::Index> limit,
                         const vbp::AnyModel* labels_of = nullptr);

/// The hashes that are there.
std::vector<vbp::io::Hash128> known_hashes(const std::vector<std::optional<vbp::io::Hash128>>& hashes);

}  // namespace tool
