#pragma once
/// What a Vision Transformer costs, layer by layer, from its configuration alone.

#include "vbp/core/config.hpp"
#include "vbp/models/vit/config.hpp"
#include "vbp/prune/budget/cost.hpp"

namespace vbp::inline VBP_ABI {

/// Parameters, multiply-accumulates and LayerNorm elements of a forward pass over one image, in the order in
/// which the pass meets the layers; names are those of the checkpoint's tensors. Counted are the patch
/// embedding, every linear layer over all tokens, the two attention products, and the heads on the pooled
/// features. Heads and epsilon play no part, so a configuration that lacks them has a cost too.
VBP_FUNCTION Cost cost_of(const VitConfig& config);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/models/vit/cost-inl.hpp"
#endif
