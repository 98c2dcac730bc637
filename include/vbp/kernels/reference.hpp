#pragma once
/// The kernels as plain scalar loops that follow the formulas literally; tests compare the fast kernels with
/// them. Sums are computed in T, one element after the other; with T = double they serve as oracles. The
/// loops are slow and single-threaded, and callers provide no scratch memory.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"

namespace vbp::inline VBP_ABI::kernels::reference {

/// The exact GELU, x Phi(x), where Phi is the distribution function of the standard normal (Hendrycks and
/// Gimpel 2016).
template <class T>
T gelu(T x) noexcept {
  return x * T(0.5) * std::erfc(-x / std::numbers::sqrt2_v<T>);
}

/// The tanh approximation of GELU, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
template <class T>
T gelu_tanh(T x) noexcept {
  const T s = std::sqrt(T(2) / std::numbers::pi_v<T>);
  return T(0.5) * x * (T(1) + std::tanh(s * (x + T(0.044715) * x * x * x)));
}

/// The reference of kernels::gelu.
template <class T>
void gelu(const T* x, Index size, T* out) noexcept {
  for (Index i = 0; i < size; ++i) out[i] = gelu(x[i]);
}

/// The reference of kernels::gelu_tanh.
template <class T>
void gelu_tanh(const T* x, Index size, T* out) noexcept {
  for (Index i = 0; i < size; ++i) out[i] = gelu_tanh(x[i]);
}

/// The reference of kernels::gemm. The weight [out, in] is not packed.
template <class T>
void gemm(const T* a, Index a_stride, Index rows, const MatrixView<T>& weight, const Epilogue<T>& epilogue,
          T* c, Index c_stride) noexcept {
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < weight.rows(); ++j) {
      T value = T(0);
      for (Index k = 0; k < weight.cols(); ++k) value += a[i * a_stride + k] * weight(j, k);
      if (epilogue.bias != nullptr) value += epilogue.bias[j];
      switch (epilogue.kind) {
        case EpilogueKind::bias:
          break;
        case EpilogueKind::bias_gelu:
          value = gelu(value);
          break;
        case EpilogueKind::bias_gelu_tanh:
          value = gelu_tanh(value);
          break;
        case EpilogueKind::scaled_residual:
          if (epilogue.scale != nullptr) value *= epilogue.scale[j];
          if (epilogue.residual != nullptr) value += epilogue.residual[i * epilogue.residual_stride + j];
          break;
      }
      c[i * c_stride + j] = value;
    }
  }
}

/// The reference of kernels::softmax.
template <class T>
void softmax(T* values, Index rows, Index columns, Index stride, T scale) noexcept {
  for (Index i = 0; i < rows; ++i) {
    T* const row = values + i * stride;
    const T maximum = *std::max_element(row, row + columns);
    T sum = T(0);
    for (Index j = 0; j < columns; ++j) {
      row[j] = std::exp(scale * (row[j] - maximum));
      sum += row[j];
    }
    for (Index j = 0; j < columns; ++j) row[j] /= sum;
  }
}

/// The reference of kernels::layer_norm.
template <class T>
void layer_norm(const T* x, Index x_stride, Index rows, Index columns, const T* weight, const T* bias,
                T epsilon, T* out, Index out_stride) noexcept {
  for (Index i = 0; i < rows; ++i) {
    const T* const row = x + i * x_stride;
    T mean = T(0);
    for (Index j = 0; j < columns; ++j) mean += row[j];
    mean /= static_cast<T>(columns);
    T variance = T(0);
    for (Index j = 0; j < columns; ++j) variance += (row[j] - mean) * (row[j] - mean);
    variance /= static_cast<T>(columns);
    for (Index j = 0; j < columns; ++j) {
      out[i * out_stride + j] = (row[j] - mean) / std::sqrt(variance + epsilon) * weight[j] + bias[j];
    }
  }
}

/// The reference of kernels::attention.
template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out) {
  const Index dim = heads * head_dim;
  std::vector<T> weights(static_cast<std::size_t>(tokens));
  for (Index image = 0; image < images; ++image) {
    const T* const rows = qkv + image * tokens * 3 * dim;
    const auto q = [&](Index token, Index feature) { return rows[token * 3 * dim + feature]; };
    const auto k = [&](Index token, Index feature) { return rows[token * 3 * dim + dim + feature]; };
    const auto v = [&](Index token, Index feature) { return rows[token * 3 * dim + 2 * dim + feature]; };
    for (Index head = 0; head < heads; ++head) {
      const Index begin = head * head_dim;
      const Index end = begin + head_dim;
      for (Index query = 0; query < tokens; ++query) {
        for (Index key = 0; key < tokens; ++key) {
          T score = T(0);
          for (Index f = begin; f < end; ++f) score += q(query, f) * k(key, f);
          weights[static_cast<std::size_t>(key)] = score;
        }
        softmax(weights.data(), 1, tokens, tokens, T(1) / std::sqrt(static_cast<T>(head_dim)));
        for (Index f = begin; f < end; ++f) {
          T sum = T(0);
          for (Index key = 0; key < tokens; ++key) sum += weights[static_cast<std::size_t>(key)] * v(key, f);
          out[(image * tokens + query) * dim + f] = sum;
        }
      }
    }
  }
}

/// Divides a map [side, side] of pixels with `size` values into windows, [windows, window * window, size].
/// The map is shifted cyclically by `shift` pixels to the upper left. It is padded on the right and at the
/// bottom with the pixel `padding` to whole windows, after the shift or, with `pad_before_shift`, before it.
template <class T>
std::vector<T> window_partition(const T* map, Index side, Index size, Index window, Index shift,
                                bool pad_before_shift, const T* padding) {
  const Index padded = (side + window - 1) / window * window;
  const auto roll = [&](const std::vector<T>& from, Index length) {
    std::vector<T> to(from.size());
    for (Index row = 0; row < length; ++row) {
      for (Index column = 0; column < length; ++column) {
        const Index source = (row + shift) % length * length + (column + shift) % length;
        std::copy_n(from.data() + source * size, size, to.data() + (row * length + column) * size);
      }
    }
    return to;
  };
  const auto fill_up = [&](const std::vector<T>& from) {
    std::vector<T> to;
    for (Index row = 0; row < padded; ++row) {
      for (Index column = 0; column < padded; ++column) {
        const bool inside = row < side && column < side;
        const T* const pixel = inside ? from.data() + (row * side + column) * size : padding;
        to.insert(to.end(), pixel, pixel + size);
      }
    }
    return to;
  };
  const std::vector<T> given(map, map + side * side * size);
  const std::vector<T> whole = pad_before_shift ? roll(fill_up(given), padded) : fill_up(roll(given, side));
  std::vector<T> windows;
  for (Index top = 0; top < padded; top += window) {
    for (Index left = 0; left < padded; left += window) {
      for (Index row = top; row < top + window; ++row) {
        const T* const pixels = whole.data() + (row * padded + left) * size;
        windows.insert(windows.end(), pixels, pixels + window * size);
      }
    }
  }
  return windows;
}

/// The inverse of window_partition: turns windows [windows, window * window, size] into the map [side, side,
/// size].
template <class T>
std::vector<T> window_merge(const std::vector<T>& windows, Index side, Index size, Index window, Index shift,
                            bool pad_before_shift) {
  const Index across = (side + window - 1) / window;
  const Index length = pad_before_shift ? across * window : side;
  std::vector<T> map(static_cast<std::size_t>(side * side * size));
  for (Index row = 0; row < length; ++row) {
    for (Index column = 0; column < length; ++column) {
      const Index to_row = (row + shift) % length;
      const Index to_column = (column + shift) % length;
      if (to_row >= side || to_column >= side) continue;
      const Index place = (row / window * across + column / window) * window * window +
                          row % window * window + column % window;
      std::copy_n(windows.data() + place * size, size, map.data() + (to_row * side + to_column) * size);
    }
  }
  return map;
}

/// The reference of kernels::window_attention for one map. It follows the authors' steps: partition,
/// attention in each window, merge. `bias` is the table [(2 w - 1)^2, heads] with w >= window.
template <class T>
std::vector<T> window_attention(const T* qkv, Index side, Index window, Index shift, bool pad_before_shift,
                                const MatrixView<T>& bias, Index head_dim, const T* padding) {
  const Index heads = bias.cols();
  const Index dim = heads * head_dim;
  const Index tokens = window * window;
  const Index padded = (side + window - 1) / window * window;
  const auto places = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(bias.rows()))));
  const std::vector<T> windows =
      window_partition(qkv, side, 3 * dim, window, shift, pad_before_shift, padding);
  // The number of each pixel's region of the shifted map, partitioned like the map. Pixels of different
  // regions do not attend to each other.
  std::vector<T> numbers;
  const auto band = [&](Index place) {
    if (shift == 0) return Index{0};
    return place < padded - window ? Index{0} : place < padded - shift ? Index{1} : Index{2};
  };
  for (Index row = 0; row < padded; ++row) {
    for (Index column = 0; column < padded; ++column) {
      numbers.push_back(static_cast<T>(3 * band(row) + band(column)));
    }
  }
  const std::vector<T> regions = window_partition<T>(numbers.data(), padded, 1, window, 0, false, nullptr);
  std::vector<T> out(windows.size() / 3);
  std::vector<T> weights(static_cast<std::size_t>(tokens));
  const auto at = [](const std::vector<T>& values, Index i) { return values[static_cast<std::size_t>(i)]; };
  for (Index first = 0; first < padded * padded; first += tokens) {
    for (Index head = 0; head < heads; ++head) {
      for (Index query = 0; query < tokens; ++query) {
        const Index q = (first + query) * 3 * dim + head * head_dim;
        for (Index key = 0; key < tokens; ++key) {
          const Index k = (first + key) * 3 * dim + dim + head * head_dim;
          T score = T(0);
          for (Index f = 0; f < head_dim; ++f) score += at(windows, q + f) * at(windows, k + f);
          score /= std::sqrt(static_cast<T>(head_dim));
          const Index down = query / window - key / window + places / 2;
          const Index right = query % window - key % window + places / 2;
          score += bias(down * places + right, head);
          if (at(regions, first + query) != at(regions, first + key)) score -= T(100);
          weights[static_cast<std::size_t>(key)] = score;
        }
        softmax(weights.data(), 1, tokens, tokens, T(1));
        for (Index f = 0; f < head_dim; ++f) {
          T sum = T(0);
          for (Index key = 0; key < tokens; ++key) {
            sum += at(weights, key) * at(windows, (first + key) * 3 * dim + 2 * dim + head * head_dim + f);
          }
          out[static_cast<std::size_t>((first + query) * dim + head * head_dim + f)] = sum;
        }
      }
    }
  }
  return window_merge(out, side, dim, window, shift, pad_before_shift);
}

/// The reference of kernels::depthwise_7x7. Pixels have no gaps between them.
template <class T>
void depthwise_7x7(const T* x, Index images, Index height, Index width, Index channels, const T* weight,
                   const T* bias, T* out) noexcept {
  const auto pixel = [&](Index image, Index row, Index column, Index channel) {
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
    return inside ? x[((image * height + row) * width + column) * channels + channel] : T(0);
  };
  for (Index image = 0; image < images; ++image) {
    for (Index row = 0; row < height; ++row) {
      for (Index column = 0; column < width; ++column) {
        for (Index channel = 0; channel < channels; ++channel) {
          T sum = bias[channel];
          for (Index i = 0; i < 7; ++i) {
            for (Index j = 0; j < 7; ++j) {
              sum += pixel(image, row + i - 3, column + j - 3, channel) *
                     weight[(i * 7 + j) * channels + channel];
            }
          }
          *out++ = sum;
        }
      }
    }
  }
}

/// The reference of kernels::add_shifted_moments.
template <class T, class S>
void add_shifted_moments(const S* samples, Index rows, Index stride, Index columns, const T* shift, T* sum,
                         T* square_sum) noexcept {
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < columns; ++j) {
      const T deviation = static_cast<T>(samples[i * stride + j]) - shift[j];
      sum[j] += deviation;
      square_sum[j] += deviation * deviation;
    }
  }
}

/// The reference of kernels::PackedDeviations: products[i, j] += the sum of deviation i times deviation j,
/// for all i and j.
template <class T, class S>
void add_deviation_products(const S* samples, Index rows, Index stride, Index columns, const T* shift,
                            T* products, Index products_stride) noexcept {
  for (Index row = 0; row < rows; ++row) {
    const auto deviation = [&](Index j) { return static_cast<T>(samples[row * stride + j]) - shift[j]; };
    for (Index i = 0; i < columns; ++i) {
      for (Index j = 0; j < columns; ++j) products[i * products_stride + j] += deviation(i) * deviation(j);
    }
  }
}

}  // namespace vbp::inline VBP_ABI::kernels::reference
