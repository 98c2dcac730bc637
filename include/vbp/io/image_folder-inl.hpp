#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/io/image_folder.hpp"

namespace vbp::inline VBP_ABI::io {

namespace detail {

/// The entries of one folder in byte order of their names, without hidden ones (copies made by file
/// managers).
VBP_FUNCTION std::vector<std::filesystem::path> sorted_entries(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> entries;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().native().starts_with('.')) entries.push_back(it->path());
  }
  if (error) throw_file_error(folder.string(), {"cannot read folder: ", error.message()});
  std::sort(entries.begin(), entries.end());
  return entries;
}

VBP_FUNCTION bool has_image_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& letter : extension) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

VBP_FUNCTION bool is_folder(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

/// A file, or a link that leads nowhere or in a circle, which shall be reported when it is read rather than
/// passed over. Devices and pipes, on which reading would wait, are neither.
VBP_FUNCTION bool may_be_file(const std::filesystem::path& path) {
  using std::filesystem::file_type;
  std::error_code error;
  const file_type type = std::filesystem::status(path, error).type();
  return type == file_type::regular || type == file_type::not_found || type == file_type::none;
}

/// Images below a folder, depth first. Links to folders are followed, but no folder is entered twice, so that
/// a link to a folder above ends the descent.
VBP_FUNCTION void collect_images(const std::filesystem::path& folder, Index label, const std::string& group,
                                 std::set<std::filesystem::path>& visited, std::vector<ImageEntry>& found) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(folder, error);
  if (error) throw_file_error(folder.string(), {"cannot read folder: ", error.message()});
  if (!visited.insert(real).second) return;
  const bool top = visited.size() == 1;
  for (const std::filesystem::path& path : sorted_entries(folder)) {
    if (is_folder(path)) {
      const std::string name = top && group.empty() ? path.filename().string() : group;
      collect_images(path, label, name, visited, found);
    } else if (has_image_extension(path) && may_be_file(path)) {
      found.push_back({path, label, group});
    }
  }
}

VBP_FUNCTION void require_folder(const std::filesystem::path& folder) {
  std::error_code error;
  const auto type = std::filesystem::status(folder, error).type();
  if (type == std::filesystem::file_type::not_found) throw_file_error(folder.string(), {"no such folder"});
  if (type == std::filesystem::file_type::none) throw_file_error(folder.string(), {error.message()});
  if (type != std::filesystem::file_type::directory) throw_file_error(folder.string(), {"not a folder"});
}

inline constexpr std::string_view kNoImages = "no images (.jpg, .jpeg, .png) in this folder or below it";

}  // namespace detail

VBP_FUNCTION std::vector<ImageEntry> find_images(const std::filesystem::path& folder) {
  detail::require_folder(folder);
  std::set<std::filesystem::path> visited;
  std::vector<ImageEntry> found;
  detail::collect_images(folder, -1, "", visited, found);
  if (found.empty()) throw_file_error(folder.string(), {detail::kNoImages});
  return found;
}

VBP_FUNCTION std::vector<ImageEntry> labelled_images(const std::filesystem::path& folder,
                                                     const std::vector<std::string>& class_names,
                                                     Index classes) {
  if (!class_names.empty() && static_cast<Index>(class_names.size()) != classes) {
    throw_value_error({"the model has ", classes, " classes but ", class_names.size(), " class names"});
  }
  detail::require_folder(folder);
  std::vector<std::filesystem::path> folders = detail::sorted_entries(folder);
  std::erase_if(folders, [](const auto& path) { return !detail::is_folder(path); });
  if (folders.empty())
    throw_file_error(folder.string(), {"no sub-folders: labels need one sub-folder a class"});

  std::multimap<std::string, Index> label_of;
  for (std::size_t i = 0; i < class_names.size(); ++i)
    label_of.emplace(class_names[i], static_cast<Index>(i));
  std::string unknown;
  std::size_t known = 0;
  for (const std::filesystem::path& path : folders) {
    const std::string name = path.filename().string();
    const std::size_t matches = label_of.count(name);
    if (matches > 1) {
      throw_file_error(path.string(),
                       {"the model has several classes of this name, so the sub-folder tells no label"});
    }
    if (matches == 1) ++known;
    if (matches == 0 && unknown.empty()) unknown = name;
  }
  const bool by_name = known == folders.size();
  // Some names known and others not is a misspelt or superfluous folder. Counting on would label it by
  // chance.
  if (known > 0 && !by_name) {
    throw_file_error(folder.string(), {"sub-folder \"", unknown, "\" is none of the model's classes (", known,
                                       " of ", folders.size(), " sub-folders are)"});
  }
  if (!by_name && static_cast<Index>(folders.size()) != classes) {
    std::string reason = std::to_string(folders.size()) + " sub-folders for the model's " +
                         std::to_string(classes) + " classes";
    if (!class_names.empty()) reason += ", and \"" + unknown + "\" is not the name of one";
    throw_file_error(folder.string(), {reason});
  }

  std::vector<ImageEntry> found;
  for (std::size_t i = 0; i < folders.size(); ++i) {
    const std::string name = folders[i].filename().string();
    const Index label = by_name ? label_of.find(name)->second : static_cast<Index>(i);
    std::set<std::filesystem::path> visited;
    detail::collect_images(folders[i], label, name, visited, found);
  }
  if (found.empty()) throw_file_error(folder.string(), {detail::kNoImages});
  return found;
}

VBP_FUNCTION std::vector<ImageEntry> spread(const std::vector<ImageEntry>& entries, Index limit) {
  if (limit < 1) throw_value_error({"a limit of ", limit, " images is below 1"});
  if (static_cast<std::size_t>(limit) >= entries.size()) return entries;
  std::map<std::string_view, std::size_t> group_of;
  std::vector<std::size_t> size;
  for (const ImageEntry& entry : entries) {
    const auto [place, is_new] = group_of.emplace(entry.group, size.size());
    if (is_new) size.push_back(0);
    ++size[place->second];
  }
  std::vector<std::size_t> quota(size.size(), 0);
  for (auto left = static_cast<std::size_t>(limit); left > 0;) {
    for (std::size_t g = 0; g < size.size() && left > 0; ++g) {
      if (quota[g] == size[g]) continue;
      ++quota[g];
      --left;
    }
  }
  std::vector<ImageEntry> taken;
  taken.reserve(static_cast<std::size_t>(limit));
  for (const ImageEntry& entry : entries) {
    std::size_t& left = quota[group_of.at(entry.group)];
    if (left == 0) continue;
    --left;
    taken.push_back(entry);
  }
  return taken;
}

}  // namespace vbp::inline VBP_ABI::io
