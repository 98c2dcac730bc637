#pragma once
/// Models in safetensors files. The checkpoint.hpp of a family makes these functions work for its models.

#include <filesystem>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/preprocessing.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/settings.hpp"

namespace vbp::inline VBP_ABI {

/// A model with all that is needed to run it on images. What no source told is named in `unresolved` and
/// left invalid (zero heads, zero epsilon, NaN mean and std), so that nothing can run on a guess.
template <class Model>
struct Checkpoint {
  std::string path;  ///< where it was read from; for messages
  Model model;
  io::Preprocessing preprocessing;
  std::vector<std::string> class_names;  ///< empty, or one for each class
  io::Metadata metadata;                 ///< of the header, as read; saving completes it
  std::vector<ConfigValue> values;       ///< every value of the configuration, as read, with its origin
  std::vector<std::string> unresolved;
  std::vector<std::string> ignored;  ///< tensors that classification does not need (pooler, mask token)

  /// Throws FileError, naming all values that no source gave and how to give them.
  void require_complete() const { require_known(unresolved); }

  /// The same without mean and std, which a network does not need whose inputs are no images.
  void require_network() const {
    std::vector<std::string> missing = unresolved;
    std::erase_if(missing, [](const std::string& key) { return key == "mean" || key == "std"; });
    require_known(missing);
  }

 private:
  void require_known(const std::vector<std::string>& missing) const {
    if (missing.empty()) return;
    std::string keys;
    std::string options;
    for (const std::string& key : missing) {
      keys += (keys.empty() ? "" : ", ") + key;
      options += " --set " + key + "=...";
    }
    throw FileError(path, "nothing says " + keys + "; give them with" + options +
                              " or by a config.json and preprocessor_config.json beside the file");
  }
};

/// Whether the tensors of a file are those of such a model in timm's or Hugging Face's naming.
template <class Model>
bool is_checkpoint_of(const std::vector<std::string>& file_names);

/// Reads a model with timm's or Hugging Face's tensor names. Each value of the configuration comes from the
/// first source that has it: `options`, the header's metadata, config.json and preprocessor_config.json
/// beside the file, the shapes, and for well-known weights the architecture's name. The family's
/// checkpoint.hpp lists the keys of options and metadata. Throws FileError, naming the tensor or the two
/// sources, if the file is no such model or contradicts itself; ValueError for an unknown or malformed
/// option. A missing image size of a network of stages throws too; other missing values do not: see
/// Checkpoint::require_complete.
template <class Model>
Checkpoint<Model> load_checkpoint(const std::filesystem::path& path, const SettingTexts& options = {});

/// A checkpoint with everything but weights, from a JSON object of the same keys, and of flags for what
/// tensors otherwise tell by being there (qkv_bias). `options` precede the file. Hidden widths that neither
/// gives are four times the width of the residual stream; other values are the defaults of the family's
/// configuration and of Preprocessing. Throws FileError or ValueError, naming the key, for what is unknown,
/// malformed or impossible.
template <class Model>
Checkpoint<Model> load_config(const std::filesystem::path& path, const SettingTexts& options = {});

/// Writes a checkpoint under timm's tensor names, in float32. The metadata keep what they hold and are
/// completed by every value of the configuration as the model has it now, so that the file needs nothing
/// beside it: load_checkpoint reads the same model and values back. The caller commits the file.
/// Throws ValueError or ShapeError, before anything is written, if the checkpoint is incomplete or
/// contradicts itself, and FileError if it cannot be written.
template <class Model>
void save_checkpoint(io::AtomicFile& file, const Checkpoint<Model>& checkpoint);

/// The same in one atomic step.
template <class Model>
void save_checkpoint(const std::filesystem::path& path, const Checkpoint<Model>& checkpoint);

/// What identifies a model: a hash over its configuration and all parameters. It is the same for the same
/// model out of a timm and a Hugging Face file, unless they pad differently (Swin). The architecture's name
/// plays no part.
template <class Model>
io::Hash128 fingerprint(const Model& model);

namespace checkpoint_detail {

/// What differs between the families' files: defined in a family's checkpoint-inl.hpp.
template <class Model>
struct CheckpointFormat;

/// The metadata of a file that is to hold the checkpoint. Throws as save_checkpoint does.
template <class Model>
io::Metadata complete_metadata(const Checkpoint<Model>& checkpoint);

/// The shape of a parameter's tensor under timm's name; `vector` is whether the parameter is one.
template <class Model>
std::vector<Index> tensor_shape(const typename Model::Config& config, const std::string& name, Index rows,
                                Index cols, bool vector);

}  // namespace checkpoint_detail
}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/models/checkpoint-inl.hpp"
#endif
