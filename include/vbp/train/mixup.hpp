#pragma once
/// Mixup (Zhang et al. 2018): pairs of images, and of their targets, are averaged.

#include <cmath>

#include "vbp/core/error.hpp"
#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// The larger part of a mixture, max(x, 1 - x) with x from Beta(alpha, alpha), alpha in (0, 1], after Jöhnk
/// (1964): u^(1/alpha) / (u^(1/alpha) + v^(1/alpha)) of uniform u and v where the sum does not exceed 1.
inline double draw_mixture(double alpha, Random& random) {
  if (!(alpha > 0.0 && alpha <= 1.0)) throw ValueError("mixup's alpha must lie in (0, 1]");
  for (;;) {
    // In logarithms, since the powers underflow for a small alpha.
    const double x = std::log(1.0 - random.uniform()) / alpha;
    const double y = std::log(1.0 - random.uniform()) / alpha;
    if (std::exp(x) + std::exp(y) > 1.0) continue;
    return 1.0 / (1.0 + std::exp(-std::abs(x - y)));
  }
}

/// Row i becomes part row i + (1 - part) row n - 1 - i, in place: for images and targets alike. A batch is in
/// random order, so its reverse is as good a partner as any.
template <class T>
void mix_rows(Matrix<T>& rows, double part) {
  const T own = static_cast<T>(part);
  const T other = static_cast<T>(1.0 - part);
  for (Index i = 0, j = rows.rows() - 1; i < j; ++i, --j) {
    T* const a = rows.row(i).data();
    T* const b = rows.row(j).data();
    for (Index k = 0; k < rows.cols(); ++k) {
      const T mixed = own * a[k] + other * b[k];
      b[k] = own * b[k] + other * a[k];
      a[k] = mixed;
    }
  }
}

}  // namespace vbp::inline VBP_ABI
