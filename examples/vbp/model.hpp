#pragma once
/// A model of any family that the tool knows. The families are listed here and in model.cpp; what differs
/// between them is asked for by the functions below.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "vbp/convnext/model.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/model/checkpoint.hpp"
#include "vbp/prune/cost.hpp"
#include "vbp/prune/resource.hpp"
#include "vbp/vit/model.hpp"

namespace tool {

using Model = std::variant<vbp::VisionTransformer<float>, vbp::ConvNext<float>>;
using Checkpoint = vbp::Checkpoint<Model>;

/// What every family's configuration says.
struct Facts {
  std::string family;  ///< for people
  std::string architecture;
  vbp::Index classes = 0;
  vbp::Index outputs = 0;         ///< features that a forward pass returns for an image
  vbp::Index image_elements = 0;  ///< values of an image
  std::vector<std::string> blocks;
  std::vector<vbp::Index> hidden_widths;  ///< of each block
};
Facts facts_of(const Model& model);
Facts facts_of(const vbp::VisionTransformer<float>& model);

vbp::Cost cost_of(const Model& model);
/// Parameters (&Cost::parameters) or MACs (&Cost::macs) as a budget.
vbp::Resource resource_of(const Model& model, std::string name,
                          std::int64_t (vbp::Cost::*part)() const noexcept);
vbp::io::Hash128 fingerprint(const Model& model);

/// The family is told from the names of the tensors. Throws FileError, saying what was looked for, where they
/// are none of the known ones, and what the family's loader throws.
Checkpoint load_checkpoint(const std::string& file, const std::map<std::string, std::string>& options);
void save_checkpoint(vbp::io::AtomicFile& file, const Checkpoint& checkpoint);

/// For what only Vision Transformers can do yet; throws FileError, naming it, for other families.
vbp::Checkpoint<vbp::VisionTransformer<float>> require_vit(Checkpoint checkpoint, const std::string& what);

/// The MLPs of the blocks, in order.
std::vector<vbp::FeedForward<float>*> mlps_of(Model& model);
/// diag(g) W2: what a block's second layer adds to the residual stream.
vbp::Matrix<double> landing_weight(const Model& model, std::size_t block);
/// Takes the widths of the MLPs over into the configuration.
void update_widths(Model& model);

}  // namespace tool
