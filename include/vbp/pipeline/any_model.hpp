#pragma once
/// A model of any family, from a file by one call and back into a file by another:
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

/// A model class that AnyModel can hold.
template <class M>
concept AnyFamily = std::same_as<M, VisionTransformer<float>> || std::same_as<M, ConvNext<float>> ||
    std::same_as<M, SwinTransformer<float>>;

/// What can be said of a model of any family.
struct ModelDescription {
  std::string family;        ///< for people: "Vision Transformer"
  std::string architecture;  ///< timm's name; empty where no file gives one
  Index classes = 0;         ///< 0: no classification head
  Index outputs = 0;         ///< values that a forward pass returns for an image: logits, or features
  Index channels = 0;        ///< of an image
  Index image_elements = 0;  ///< channels * size * size
  Index stream_rows = 0;     ///< rows of the residual stream that one image enters the first block with
  Index stream_dim = 0;      ///< features of each such row
  std::vector<std::string> blocks = {};   ///< names, in order
  std::vector<Index> hidden_widths = {};  ///< of the blocks
  std::vector<Stage> stages = {};         ///< empty for a family without stages
};

/// A Vision Transformer, ConvNeXt or Swin Transformer with what is needed to run it on images. A value:
/// copies are independent. Several threads may use the const members of one object at the same time.
class AnyModel {
 public:
  /// Every family whose files could be taken for another one's stands before that one.
  using Variant = std::variant<ConvNext<float>, SwinTransformer<float>, VisionTransformer<float>>;

  /// A model that was built or trained in memory.
  template <AnyFamily M>
  explicit AnyModel(M model, io::Preprocessing preprocessing = {}) {
    preprocessing.image_size = model.config.image_size;
    checkpoint_.model = std::move(model);
    checkpoint_.preprocessing = preprocessing;
  }
  /// What a family's own loader returned.
  template <AnyFamily M>
  explicit AnyModel(Checkpoint<M> checkpoint)
      : checkpoint_{std::move(checkpoint.path),       Variant(std::move(checkpoint.model)),
                    checkpoint.preprocessing,         std::move(checkpoint.class_names),
                    std::move(checkpoint.metadata),   std::move(checkpoint.values),
                    std::move(checkpoint.unresolved), std::move(checkpoint.ignored)} {}

  /// The file that the model was read from, for messages; empty for a model that was built in memory.
  const std::string& path() const noexcept { return checkpoint_.path; }
  const io::Preprocessing& preprocessing() const noexcept { return checkpoint_.preprocessing; }
  /// One name a class, or empty.
  const std::vector<std::string>& class_names() const noexcept { return checkpoint_.class_names; }
  /// Every configuration value with its origin.
  const std::vector<ConfigValue>& values() const noexcept { return checkpoint_.values; }
  /// Keys of the configuration values that no source gave.
  const std::vector<std::string>& unresolved() const noexcept { return checkpoint_.unresolved; }
  /// Tensors of the file that classification does not need.
  const std::vector<std::string>& ignored() const noexcept { return checkpoint_.ignored; }

  /// Throws FileError, naming the values that no source gave, unless the model can run on image files.
  void require_complete() const { checkpoint_.require_complete(); }
  /// The same without mean and deviation, which a model does not need that is fed with other pixels.
  void require_network() const { checkpoint_.require_network(); }

  /// The model of its own family: VisionTransformer<float>, ConvNext<float> or SwinTransformer<float>.
  Variant& variant() noexcept { return checkpoint_.model; }
  const Variant& variant() const noexcept { return checkpoint_.model; }

  /// The family's own model, or null if this model is of another family.
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
  /// Parameters (&Cost::parameters) or MACs (&Cost::macs) as a budget.
  VBP_FUNCTION Resource resource(std::string name, std::int64_t (Cost::*part)() const noexcept) const;
  /// A hash of configuration and weights, as calibration files hold it.
  VBP_FUNCTION io::Hash128 fingerprint() const;

  /// The MLPs of the blocks, in order.
  VBP_FUNCTION std::vector<Mlp<float>*> mlps();
  VBP_FUNCTION std::vector<const Mlp<float>*> mlps() const;
  /// diag(g) W2, [dim, hidden]: what a block's second layer, layer scale g included, adds to the residual
  /// stream.
  VBP_FUNCTION Matrix<double> output_weight(std::size_t block) const;

  /// Gives a model whose configuration names no classes one class a name. Only before initialise().
  VBP_FUNCTION void set_class_names(std::vector<std::string> names);

  /// The family's own checkpoint, a copy, as the savers of models/ take it.
  template <AnyFamily M>
  Checkpoint<M> checkpoint_of(const M& model) const {
    return {path(),   model,        preprocessing(), class_names(), checkpoint_.metadata,
            values(), unresolved(), ignored()};
  }

 private:
  Checkpoint<Variant> checkpoint_;
};

/// What is said of a model beside its file.
struct LoadOptions {
  /// Configuration values by key; they take precedence over all that the files say.
  std::map<std::string, std::string> settings = {};
  /// Runs the model at another image size: positions of a Vision Transformer are interpolated.
  std::optional<Index> image_size = std::nullopt;
};

/// Reads a safetensors file of any family with timm's or Hugging Face's tensor names; config.json and
/// preprocessor_config.json beside it are read too. Throws FileError, naming the file, for a file that holds
/// no model of a known family, and ValueError for settings that do not exist or contradict each other.
VBP_FUNCTION AnyModel load_model(const std::filesystem::path& file, const LoadOptions& options = {});

/// The files that load_model reads or looks for.
VBP_FUNCTION std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& file);

/// Writes a safetensors file that load_model reads back, atomically. Throws FileError.
VBP_FUNCTION void save_model(const std::filesystem::path& file, const AnyModel& model);
/// The same into an open file, which is the caller's to commit.
VBP_FUNCTION void save_model(io::AtomicFile& file, const AnyModel& model);

/// A model without weights, of the shape that a JSON configuration file describes. The keys tell the family:
/// a Swin Transformer has `window_size`, a ConvNeXt has `dims` and no `window_size`. `settings` take
/// precedence over the file. initialise() gives it weights. Throws FileError or ValueError.
VBP_FUNCTION AnyModel untrained_model(const std::filesystem::path& file,
                                      const std::map<std::string, std::string>& settings = {});

/// The random weights that training begins with. `layer_scale` is the initial value of layer scales; without
/// it they begin with the family's own. Throws ValueError if the configuration is impossible.
VBP_FUNCTION void initialise(AnyModel& model, std::uint64_t seed,
                             std::optional<double> layer_scale = std::nullopt);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/any_model-inl.hpp"
#endif
