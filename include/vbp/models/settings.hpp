#pragma once
/// Values of a checkpoint's configuration as texts, from several sources of which the first one wins.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/layers.hpp"

namespace vbp::inline VBP_ABI {

/// One value of a checkpoint's configuration and where it was found. `value` is text as in the header's
/// metadata: names plain, everything else JSON. `origin` is "option", "metadata", "config.json",
/// "preprocessor_config.json", "shapes", "architecture name", or which library's default it is.
struct ConfigValue {
  std::string key;
  std::string value;
  std::string origin;

  bool operator==(const ConfigValue&) const = default;
};

/// Values by their keys, as texts.
using SettingTexts = std::map<std::string, std::string>;

namespace checkpoint_detail {

/// The text as a JSON string, shortened, so that an error message stays on one line whatever a file holds.
VBP_FUNCTION std::string quote(const std::string& text);

// Values as texts: see ConfigValue.

inline std::string text_of(bool value) {
  return value ? "true" : "false";
}
inline std::string text_of(Activation activation) {
  return activation == Activation::gelu ? "gelu" : "gelu_tanh";
}
VBP_FUNCTION std::string text_of(double value);
VBP_FUNCTION std::string text_of(const std::vector<Index>& values);
VBP_FUNCTION std::string text_of(const std::vector<double>& values);
VBP_FUNCTION std::string text_of(const std::vector<std::string>& values);

/// timm's name of an activation function that Hugging Face may call otherwise. Unknown ones keep their name,
/// so that they are refused under it.
VBP_FUNCTION std::string activation_name(const std::string& name);

/// A value as a source gave it; `path` is the file to blame. What reads it throws as refuse() does.
struct Setting {
  std::string key;
  std::string value;
  std::string origin;
  std::string path;

  /// Throws ValueError for an option and FileError for a value out of a file.
  VBP_FUNCTION [[noreturn]] void refuse(const std::string& reason) const;

  VBP_FUNCTION Index whole_number() const;
  VBP_FUNCTION double number() const;
  VBP_FUNCTION bool boolean() const;
  VBP_FUNCTION Activation activation() const;
  // Lists; their brackets may be missing, as on a command line.
  VBP_FUNCTION std::vector<Index> whole_numbers() const;
  VBP_FUNCTION std::vector<double> numbers() const;
  VBP_FUNCTION std::vector<std::string> strings() const;
};

/// All sources of settings; the first one that knows a key gives its value.
class Settings {
 public:
  VBP_FUNCTION void add_source(std::string origin, std::string path, SettingTexts texts);

  VBP_FUNCTION std::optional<Setting> find(const std::string& key) const;

  /// The same among the sources whose origin the predicate accepts.
  template <class Predicate>
  std::optional<Setting> find_where(const std::string& key, Predicate&& accept) const {
    for (const Source& source : sources_) {
      const auto found = source.texts.find(key);
      if (found == source.texts.end() || !accept(source.origin)) continue;
      return Setting{key, found->second, source.origin, source.path};
    }
    return std::nullopt;
  }

 private:
  struct Source {
    std::string origin;
    std::string path;
    SettingTexts texts;
  };
  std::vector<Source> sources_;
};

/// The one pooling that networks of stages have.
VBP_FUNCTION void require_average_pooling(const std::optional<Setting>& setting);

/// A width for each of `blocks` blocks, where a single one stands for all.
VBP_FUNCTION std::vector<Index> widths_of(const Setting& setting, std::size_t blocks);

}  // namespace checkpoint_detail
}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/models/settings-inl.hpp"
#endif
