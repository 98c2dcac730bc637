#pragma once
/// Parameters and multiply-accumulates (MACs; a MAC is two FLOPs) of a network, layer by layer.

#include <cstdint>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// One layer's share, for one input image.
struct LayerCost {
  std::string name;
  std::string kind;
  std::int64_t parameters = 0;
  std::int64_t macs = 0;
  /// Elements that a LayerNorm normalises and that pooling averages over. They take no MACs, but
  /// Cost::macs_fvcore counts them.
  std::int64_t norm_elements = 0;
  std::int64_t pooled_elements = 0;
};

/// The cost of a network: its layers, and their sums.
struct Cost {
  std::vector<LayerCost> layers = {};

  std::int64_t parameters() const noexcept { return sum(&LayerCost::parameters); }

  /// Multiply-accumulates of every matrix product, the two of attention included.
  std::int64_t macs() const noexcept { return sum(&LayerCost::macs); }

  /// macs() plus 5 per LayerNorm element and 1 per pooled one: what fvcore counts, and so the published 17.58
  /// G of DeiT-B and 4.47 G of ConvNeXt-T.
  std::int64_t macs_fvcore() const noexcept {
    return macs() + 5 * sum(&LayerCost::norm_elements) + sum(&LayerCost::pooled_elements);
  }

 private:
  std::int64_t sum(std::int64_t LayerCost::*part) const noexcept {
    std::int64_t total = 0;
    for (const LayerCost& layer : layers) total += layer.*part;
    return total;
  }
};

/// A linear layer [out, in] over `rows` tokens.
VBP_FUNCTION LayerCost linear_cost(std::string name, Index rows, Index in, Index out, bool bias = true);

/// A convolution whose kernels do not overlap (a patch embedding): a linear layer from in_channels * kernel *
/// kernel pixels to out features, at each of `positions` places.
VBP_FUNCTION LayerCost patch_embedding_cost(std::string name, Index positions, Index in_channels,
                                            Index kernel, Index out, bool bias = true);

/// A convolution of each channel by itself with a kernel of `kernel` x `kernel`, at each of `positions`
/// places; products with zeros around the image count.
VBP_FUNCTION LayerCost depthwise_cost(std::string name, Index positions, Index channels, Index kernel);

/// A layer norm with scale and shift over `rows` tokens of `dim` features.
VBP_FUNCTION LayerCost layer_norm_cost(std::string name, Index rows, Index dim);

/// The mean over `rows` pixels of `dim` features.
VBP_FUNCTION LayerCost pooling_cost(std::string name, Index rows, Index dim);

/// The two products of self-attention, Q K^T and A V, over all heads: 2 tokens^2 dim MACs, no parameters.
VBP_FUNCTION LayerCost attention_cost(std::string name, Index tokens, Index dim);

/// Parameters that multiply nothing or next to nothing: tokens, position embeddings, layer scales.
VBP_FUNCTION LayerCost parameter_cost(std::string name, std::int64_t parameters);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/budget/cost-inl.hpp"
#endif
