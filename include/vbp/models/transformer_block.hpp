#pragma once
/// The block of attention and an MLP that Vision Transformers and Swin Transformers are made of.

#include "vbp/core/types.hpp"
#include "vbp/models/layers.hpp"

namespace vbp::inline VBP_ABI {

/// x += layer_scale1 * proj(attention(qkv(norm1(x)))), then x += layer_scale2 * fc2(gelu(fc1(norm2(x)))).
/// Models LinearGeluLinear by its MLP, so that the pruner works on it in place.
template <class T>
struct TransformerBlock : Mlp<T> {
  LayerNorm<T> norm1;
  Linear<T> qkv;           ///< [3 dim, dim]: the rows of q, then k, then v, each head by head
  Linear<T> proj;          ///< [dim, dim]
  Vector<T> layer_scale1;  ///< [dim], empty without layer scale
  LayerNorm<T> norm2;
  Vector<T> layer_scale2;

  /// What the MLP's output is multiplied with, [dim], before it joins the residual stream; empty for 1.
  const Vector<T>& output_scale() const noexcept { return layer_scale2; }
};

}  // namespace vbp::inline VBP_ABI
