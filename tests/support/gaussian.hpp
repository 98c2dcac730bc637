#pragma once
/// Matrices of standard normal random values.

#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"

namespace vbp_test {

template <class T = double>
vbp::Matrix<T> gaussian(vbp::Random& random, vbp::Index rows, vbp::Index cols) {
  return vbp::Matrix<T>::NullaryExpr(rows, cols, [&] { return static_cast<T>(random.normal()); });
}

template <class T = double>
vbp::Matrix<T> gaussian(std::uint64_t seed, vbp::Index rows, vbp::Index cols) {
  vbp::Random random(seed);
  return gaussian<T>(random, rows, cols);
}

}  // namespace vbp_test
