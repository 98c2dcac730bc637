#pragma once
/// Which images a folder holds, which class each belongs to, and how to take a few of them evenly.

#include <filesystem>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::io {

/// One image file. `label` is its class, -1 where there is none; `group` is the top-level sub-folder it was
/// found under, empty for an image in the folder itself.
struct ImageEntry {
  std::filesystem::path path;
  Index label = -1;
  std::string group;
};

/// All JPEG and PNG files (by extension, any case) in a folder and below it, unlabelled, in an order that
/// depends on names alone; hidden files and folders are left out. Throws FileError where the folder is
/// missing, is a file, cannot be read or holds no images.
VBP_FUNCTION std::vector<ImageEntry> find_images(const std::filesystem::path& folder);

/// The images of a folder with one sub-folder a class, labelled 0 to classes - 1: by `class_names` (the
/// model's, may be empty) where the sub-folders carry these names, a subset sufficing; else in name order
/// where there are as many sub-folders as classes. Images outside the sub-folders have no class and are left
/// out. Throws FileError, saying what was found, where neither fits, and ValueError for a wrong number of
/// names.
VBP_FUNCTION std::vector<ImageEntry> labelled_images(const std::filesystem::path& folder,
                                                     const std::vector<std::string>& class_names,
                                                     Index classes);

/// `limit` of the entries spread evenly over the groups, the first ones of each, in unchanged order: groups
/// take turns until the limit is met, so the first groups get one more where it does not divide, and small
/// groups leave their share to the others. All entries where there are no more. Throws ValueError for a limit
/// below 1.
VBP_FUNCTION std::vector<ImageEntry> spread(const std::vector<ImageEntry>& entries, Index limit);

}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/image_folder-inl.hpp"
#endif
