#pragma once
/// Settings out of JSON files: those of timm and of Hugging Face beside a checkpoint, and our own
/// configuration files.

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "vbp/core/config.hpp"
#include "vbp/models/settings.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

/// The settings in a config.json of timm or of Hugging Face, or nothing if there is no such file. In Hugging
/// Face's, a model without a head has no classes, whatever id2label says (the library's default is two).
/// Throws FileError if the file cannot be read, is no JSON object or does not number its classes.
VBP_FUNCTION std::optional<SettingTexts> model_settings(const std::filesystem::path& path, bool has_head);

/// The settings in a preprocessor_config.json of Hugging Face, or nothing if there is no such file. Ours
/// normalise intensities of 0 to 1 after a resize by crop_pct; theirs rescale by a factor and resize to a
/// given length. Throws FileError too for what cannot be expressed in ours.
VBP_FUNCTION std::optional<SettingTexts> preprocessor_settings(const std::filesystem::path& path);

/// The members of a JSON object as texts. Throws FileError if there is no such file or it is no JSON object.
VBP_FUNCTION SettingTexts configuration_texts(const std::filesystem::path& path);

}  // namespace checkpoint_detail

/// The keys of a configuration file and of the options that precede it, which tell one family from another.
/// Throws FileError if the file is no JSON object.
VBP_FUNCTION std::set<std::string> config_keys(const std::filesystem::path& path,
                                               const SettingTexts& options);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/models/settings_files-inl.hpp"
#endif
