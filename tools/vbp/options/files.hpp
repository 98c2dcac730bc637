#pragma once
/// Checks of the files that a subcommand reads and writes, and how it writes them.

#include <filesystem>
#include <string>
#include <vector>

#include "options/common.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/image_folder.hpp"

namespace tool {

/// The folder of a file that need not exist yet.
std::filesystem::path folder_of(const std::filesystem::path& file);

/// Throws FileError if the folder that a file is to be written to does not exist.
void require_folder_of(const std::filesystem::path& file);

/// Whether two names are names of the same file, which need not exist yet.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b);

/// Checks, before any work, the files that a subcommand will write: that of `option` and that of --json. An
/// empty name stands for no file. Throws FileError if one cannot be created where it is to be, or if both are
/// the same file.
void require_writable(const std::filesystem::path& out, const std::filesystem::path& json,
                      const std::string& option = "--out");

/// Throws FileError if one of the files to write is one of those that are read.
void require_not_read(const std::vector<std::filesystem::path>& outputs,
                      const std::vector<std::filesystem::path>& inputs);

/// The paths of images, for require_not_read.
std::vector<std::filesystem::path> paths_of(const std::vector<vbp::io::ImageEntry>& images);

/// A report as text. File names need not be UTF-8 but JSON must be: what is not is replaced.
std::string text_of(const Json& report);

/// Puts the product and the report, if one is asked for, in place: both or, on an error, neither.
void commit(vbp::io::AtomicFile& product, const JsonOption& json, const Json& report);

}  // namespace tool
