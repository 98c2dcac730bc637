#pragma once

#include <string>

#include "vbp/core/message.hpp"
#include "vbp/prune/criteria/snip.hpp"

namespace vbp::inline VBP_ABI::detail {

template <class T, class G>
Vector<double> snip_of(const NeuronWeights<T>& weights, const NeuronWeights<G>& gradients) {
  const auto& [w1, b1, w2] = weights;
  const auto& [g1, gb, g2] = gradients;
  if (g1.rows() != w1.rows() || g1.cols() != w1.cols() || gb.size() != b1.size() || g2.rows() != w2.rows() ||
      g2.cols() != w2.cols()) {
    throw_shape_error({"the gradient of a block of ", w1.rows(), " neurons is that of one of ", g1.rows()});
  }
  const auto sensitivity = [](const auto& weight, const auto& slope) {
    return weight.template cast<double>().cwiseProduct(slope.template cast<double>()).cwiseAbs();
  };
  return sensitivity(w1, g1).rowwise().sum() + sensitivity(b1, gb) +
         sensitivity(w2, g2).colwise().sum().transpose();
}

}  // namespace vbp::inline VBP_ABI::detail
