#pragma once
/// The matrix products of DeiT's layers, and benchmark rows for other libraries that compute them.

#include "common.hpp"
#include "vbp/kernels/gemm.hpp"

namespace bench {

struct Layer {
  const char* name;
  Index in, out;
  vbp::kernels::EpilogueKind kind;
};

/// Number of rows of A in every product: the tokens of VBP_BATCH images, or of one image if it is not set.
inline Index rows() {
  static const Index rows = kTokens * from_environment("VBP_BATCH");
  return rows;
}

/// Calls add(model, layer) for each layer of each model.
template <class Add>
void for_each_layer(Add&& add) {
  using vbp::kernels::EpilogueKind;
  for (const Deit& model : kDeit) {
    const Index dim = model.dim;
    add(model.name, Layer{"qkv", dim, 3 * dim, EpilogueKind::bias});
    add(model.name, Layer{"proj", dim, dim, EpilogueKind::scaled_residual});
    add(model.name, Layer{"fc1", dim, 4 * dim, EpilogueKind::bias_gelu});
    add(model.name, Layer{"fc2", 4 * dim, dim, EpilogueKind::scaled_residual});
  }
}

/// Measures another library. multiply(a, w, c) computes C = A W^T of dense matrices.
template <class Multiply>
void theirs(benchmark::State& state, const Layer& layer, Multiply&& multiply) {
  const vbp::AlignedBuffer<float> a = random_values(rows() * layer.in, 1);
  const vbp::AlignedBuffer<float> w = random_values(layer.out * layer.in, 2);
  vbp::AlignedBuffer<float> c = random_values(rows() * layer.out, 4);
  vbp::ThreadPool pool(threads());
  arithmetic_row(state, pool, 2.0 * static_cast<double>(rows() * layer.in * layer.out),
                 [&] { multiply(a.data(), w.data(), c.data()); });
}

}  // namespace bench
