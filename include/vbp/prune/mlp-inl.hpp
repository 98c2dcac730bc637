#pragma once

#include <string>
#include <utility>

#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"
#include "vbp/kernels/activation.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/mlp.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// Throws the ShapeError of input rows of a wrong width.
VBP_FUNCTION [[noreturn]] void refuse_mlp_input(Index features, Index in) {
  throw_shape_error({"Mlp: input rows have ", features, " features, fc1 takes ", in});
}

VBP_FUNCTION void require_mlp_shape(const BlockShape& shape) {
  with_context("Mlp", [&] { return hidden_width_of(shape); });
}

/// x weight^T + bias as dot products. A matrix product of Eigen or of our kernels would run faster, but it
/// costs every program that uses the block seconds to compile.
template <class T>
Matrix<T> linear_rows(const Linear<T>& layer, const MatrixView<T>& x) {
  const Index in = layer.weight.cols(), out = layer.weight.rows();
  using Row = Eigen::Map<const Vector<T>>;
  Matrix<T> y(x.rows(), out);
  T* to = y.data();
  for (Index i = 0; i < x.rows(); ++i) {
    const Row row(x.data() + i * x.outerStride(), in);
    for (Index j = 0; j < out; ++j) {
      *to++ = row.dot(Row(layer.weight.data() + j * in, in)) + layer.bias.data()[j];
    }
  }
  return y;
}

}  // namespace detail

template <class T>
Mlp<T>::Mlp(Matrix<T> fc1_weight, Vector<T> fc1_bias, Matrix<T> fc2_weight, Vector<T> fc2_bias) {
  set_weights(std::move(fc1_weight), std::move(fc1_bias), std::move(fc2_weight), std::move(fc2_bias));
}

template <class T>
void Mlp<T>::set_weights(Matrix<T> fc1_weight, Vector<T> fc1_bias, Matrix<T> fc2_weight, Vector<T> fc2_bias) {
  detail::require_mlp_shape({.fc1_rows = fc1_weight.rows(),
                             .fc1_columns = fc1_weight.cols(),
                             .fc1_bias = fc1_bias.size(),
                             .fc2_rows = fc2_weight.rows(),
                             .fc2_columns = fc2_weight.cols(),
                             .fc2_bias = fc2_bias.size()});
  fc1.weight = std::move(fc1_weight);
  fc1.bias = std::move(fc1_bias);
  fc2.weight = std::move(fc2_weight);
  fc2.bias = std::move(fc2_bias);
}

template <class T>
Matrix<T> Mlp<T>::hidden_activation(const MatrixView<T>& x) const {
  if (x.cols() != in()) detail::refuse_mlp_input(x.cols(), in());
  Matrix<T> h = detail::linear_rows(fc1, x);
  kernels::gelu(h.data(), h.size(), h.data());
  return h;
}

template <class T>
Matrix<T> Mlp<T>::operator()(const MatrixView<T>& x) const {
  return detail::linear_rows<T>(fc2, hidden_activation(x));
}

}  // namespace vbp::inline VBP_ABI
