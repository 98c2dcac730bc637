#pragma once
/// Reads, holds and writes a model of any family:
///
///     vbp::AnyModel model = vbp::load_model("vit.safetensors", {.settings = {{"num_heads", "6"}}});
///     std::cout << model.description().family << ", " << model.cost().parameters() << " parameters\n";
///     vbp::save_model("copy.safetensors", model);

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/preprocessing.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/stage_model.hpp"
#include "vbp/models/swin/model.hpp"
#include "vbp/models/vit/model.hpp"
#include "vbp/prune/budget/cost.hpp"
#include "vbp/prune/budget/resource.hpp"
#include "vbp/prune/mlp.hpp"

namespace vbp::inline VBP_ABI {

/// A model type that AnyModel can hold.
template <class M>
concept AnyFamily = std::same_as<M, VisionTransformer<float>> || std::same_as<M, ConvNext<float>> ||
    std::same_as<M, SwinTransformer<float>>;

/// Facts about a model that exist for every family.
struct ModelDescription {
  std::string family;                    ///< a name for people: "Vision Transformer"
  std::string architecture;              ///< timm's name; empty if no file gives one
  Index classes = 0;                     ///< 0: no classification head
  Index outputs = 0;                     ///< values that a forward pass returns per image: logits or features
  Index channels = 0;                    ///< channels of an image
  Index image_elements = 0;              ///< channels * size * size
  Index stream_rows = 0;                 ///< rows of the residual stream per image, before the first block
  Index stream_dim = 0;                  ///< features of each of these rows
  std::vector<std::string> blocks = {};  ///< names of the blocks, in order
  std::vector<Index> hidden_widths = {};  ///< one per block
  std::vector<Stage> stages = {};         ///< empty for a family without stages
};

/// A Vision Transformer, ConvNeXt or Swin Transformer, with everything that is needed to run it on images. It
/// is a value: copies are independent. Several threads may call the const members of one object at the same
/// time.
class AnyModel {
 public:
  /// load_model() tries the families in this order. If a family's files could be taken for those of another
  /// family, it stands before the other one.
  using Variant = std::variant<ConvNext<float>, SwinTransformer<float>, VisionTransformer<float>>;

  /// Makes an AnyModel from a model that was built or trained in memory.
  template <AnyFamily M>
  explicit AnyModel(M model, io::Preprocessing preprocessing = {}) {
    preprocessing.image_size = model.config.image_size;
    checkpoint_.model = std::move(model);
    checkpoint_.preprocessing = preprocessing;
  }
  /// Makes an AnyModel from what load_checkpoint() returned.
  template <AnyFamily M>
  explicit AnyModel(Checkpoint<M> checkpoint)
      : checkpoint_{std::move(checkpoint.path),       Variant(std::move(checkpoint.model)),
                    checkpoint.preprocessing,         std::move(checkpoint.class_names),
                    std::move(checkpoint.metadata),   std::move(checkpoint.values),
                    std::move(checkpoint.unresolved), std::move(checkpoint.ignored)} {}

  /// The file that the model was read from, for messages. Empty for a model that was built in memory.
  const std::string& path() const noexcept { return checkpoint_.path; }
  const io::Preprocessing& preprocessing() const noexcept { return checkpoint_.preprocessing; }
  /// One name per class, or empty.
  const std::vector<std::string>& class_names() const noexcept { return checkpoint_.class_names; }
  /// Every configuration value, with its origin.
  const std::vector<ConfigValue>& values() const noexcept { return checkpoint_.values; }
  /// Keys of the configuration values that no source gives.
  const std::vector<std::string>& unresolved() const noexcept { return checkpoint_.unresolved; }
  /// Tensors of the file that classification does not need.
  const std::vector<std::string>& ignored() const noexcept { return checkpoint_.ignored; }

  /// Throws FileError if the model cannot run on image files. The message names the values that no source
  /// gives.
  void require_complete() const { checkpoint_.require_complete(); }
  /// The same, but mean and deviation may be missing: a model needs them only for image files.
  void require_network() const { checkpoint_.require_network(); }

  /// The model as the type of its family: VisionTransformer<float>, ConvNext<float> or
  /// SwinTransformer<float>.
  Variant& variant() noexcept { return checkpoint_.model; }
  const Variant& variant() const noexcept { return checkpoint_.model; }

  /// The model as an M, or null if the model is of another family.
  template <AnyFamily M>
  M* get_if() noexcept {
    return std::get_if<M>(&checkpoint_.model);
  }
  template <AnyFamily M>
  const M* get_if() const noexcept {
    return std::get_if<M>(&checkpoint_.model);
  }

  VBP_FUNCTION ModelDescription description() const;
  VBP_FUNCTION Cost cost() const;
  /// A budget in parameters (&Cost::parameters) or MACs (&Cost::macs).
  VBP_FUNCTION Resource resource(std::string name, std::int64_t (Cost::*part)() const noexcept) const;
  /// A hash of configuration and weights. Calibration files contain it.
  VBP_FUNCTION io::Hash128 fingerprint() const;

  /// The MLPs of the blocks, in order.
  VBP_FUNCTION std::vector<Mlp<float>*> mlps();
  VBP_FUNCTION std::vector<const Mlp<float>*> mlps() const;
  /// diag(g) W2, [dim, hidden]: the weight of a block's second layer, with the layer scale g. It maps hidden
  /// activations to what the block adds to the residual stream.
  VBP_FUNCTION Matrix<double> output_weight(std::size_t block) const;

  /// Sets the names of the classes and their number, for a model whose configuration names no classes. Call
  /// it only before initialise().
  VBP_FUNCTION void set_class_names(std::vector<std::string> names);

  /// A copy as the Checkpoint<M> that save_checkpoint() and export_onnx() of models/ take.
  template <AnyFamily M>
  Checkpoint<M> checkpoint_of(const M& model) const {
    return {path(),   model,        preprocessing(), class_names(), checkpoint_.metadata,
            values(), unresolved(), ignored()};
  }

 private:
  Checkpoint<Variant> checkpoint_;
};

/// Settings of load_model() that do not come from the files.
struct LoadOptions {
  /// Configuration values by key. They take precedence over all files.
  std::map<std::string, std::string> settings = {};
  /// Runs the model at another image size. The positions of a Vision Transformer are interpolated.
  std::optional<Index> image_size = std::nullopt;
};

/// Reads a safetensors file of any family with timm's or Hugging Face's tensor names. Also reads config.json
/// and preprocessor_config.json in the same folder. Throws FileError, which names the file, if the file has
/// no model of a known family. Throws ValueError for settings that do not exist or contradict each other.
VBP_FUNCTION AnyModel load_model(const std::filesystem::path& file, const LoadOptions& options = {});

/// The model file, and the files in its folder that load_model() reads if they exist.
VBP_FUNCTION std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& file);

/// Writes a safetensors file atomically. load_model() reads it. Throws FileError.
VBP_FUNCTION void save_model(const std::filesystem::path& file, const AnyModel& model);
/// The same into an open file. The caller must commit the file.
VBP_FUNCTION void save_model(io::AtomicFile& file, const AnyModel& model);

/// A model without weights, with the shape that a JSON configuration file describes. The keys determine the
/// family: a Swin Transformer has `window_size`, a ConvNeXt has `dims` and no `window_size`. `settings` take
/// precedence over the file. Call initialise() to make the weights. Throws FileError or ValueError.
VBP_FUNCTION AnyModel untrained_model(const std::filesystem::path& file,
                                      const std::map<std::string, std::string>& settings = {});

/// Sets the random weights that training begins with. `layer_scale` is the initial value of the layer scales;
/// without it, the family's default is used. Throws ValueError if the configuration is impossible.
VBP_FUNCTION void initialise(AnyModel& model, std::uint64_t seed,
                             std::optional<double> layer_scale = std::nullopt);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/any_model-inl.hpp"
#endif
