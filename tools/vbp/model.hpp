#pragma once
/// A model of any family that the tool knows. The families are listed here and in model.cpp; what differs
/// between them is asked for by the functions below.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/swin/model.hpp"
#include "vbp/models/vit/model.hpp"
#include "vbp/prune/budget/cost.hpp"
#include "vbp/prune/budget/resource.hpp"

namespace tool {

using Model = std::variant<vbp::VisionTransformer<float>, vbp::ConvNext<float>, vbp::SwinTransformer<float>>;
using Checkpoint = vbp::Checkpoint<Model>;

/// Blocks between which the residual stream keeps its shape.
struct Stage {
  std::string name;
  vbp::Index side = 0;  ///< of the feature map, in pixels
  vbp::Index dim = 0;
  vbp::Index first_block = 0;
  vbp::Index blocks = 0;
};

/// What every family's configuration says.
struct Facts {
  std::string family;  ///< for people
  std::string architecture;
  vbp::Index classes = 0;
  vbp::Index outputs = 0;         ///< features that a forward pass returns for an image
  vbp::Index channels = 0;        ///< of an image
  vbp::Index image_elements = 0;  ///< values of an image
  vbp::Index stream_rows = 0;     ///< rows of the residual stream with which an image enters the first block
  vbp::Index stream_dim = 0;      ///< and features of each
  std::vector<std::string> blocks;
  std::vector<vbp::Index> hidden_widths;  ///< of each block
  std::vector<Stage> stages;              ///< none where all blocks are alike
};
Facts facts_of(const Model& model);

vbp::Cost cost_of(const Model& model);
/// Parameters (&Cost::parameters) or MACs (&Cost::macs) as a budget.
vbp::Resource resource_of(const Model& model, std::string name,
                          std::int64_t (vbp::Cost::*part)() const noexcept);
vbp::io::Hash128 fingerprint(const Model& model);

/// The family is told from the names of the tensors. Throws FileError, saying what was looked for, where they
/// are none of the known ones, and what the family's loader throws.
Checkpoint load_checkpoint(const std::string& file, const std::map<std::string, std::string>& options);
void save_checkpoint(vbp::io::AtomicFile& file, const Checkpoint& checkpoint);
/// Writes an ONNX file. Throws Error in a build without ONNX.
void export_checkpoint(vbp::io::AtomicFile& file, const Checkpoint& checkpoint);

/// The same checkpoint around another type of model.
template <class To, class From>
vbp::Checkpoint<To> around(const vbp::Checkpoint<From>& from, To model) {
  return {from.path,     std::move(model), from.preprocessing, from.class_names,
          from.metadata, from.values,      from.unresolved,    from.ignored};
}

/// A model without weights, of the shape that a configuration file says. The family is told from the keys: a
/// Swin Transformer has `window_size`, of the others a ConvNeXt has `dims`. Throws what the family's own load
/// throws.
Checkpoint load_config(const std::string& file, const std::map<std::string, std::string>& options);
/// Changes the configuration alone.
void set_classes(Model& model, vbp::Index classes);

/// The only family whose blocks are all alike.
const vbp::VisionTransformer<float>& vit_of(const Model& model);

/// The MLPs of the blocks, in order.
std::vector<vbp::Mlp<float>*> mlps_of(Model& model);
std::vector<const vbp::Mlp<float>*> mlps_of(const Model& model);
/// diag(g) W2: what a block's second layer adds to the residual stream.
vbp::Matrix<double> landing_weight(const Model& model, std::size_t block);
/// Takes the widths of the MLPs over into the configuration.
void update_widths(Model& model);

}  // namespace tool
