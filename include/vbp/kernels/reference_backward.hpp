#pragma once
/// The kernels of training as plain scalar loops that follow the formulas literally, without blocking. They
/// take the same arguments as the kernels. They are slow; tests compare the fast kernels with them.

#include <algorithm>
#include <cmath>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/adamw.hpp"
#include "vbp/kernels/reference.hpp"

namespace vbp::inline VBP_ABI::kernels::reference {

/// The reference of kernels::gelu_backward: the derivative is Phi(x) + x phi(x).
template <class T>
void gelu_backward(const T* x, Index size, T* hidden, T* gradient) {
  for (Index i = 0; i < size; ++i) {
    const T at = x[i];
    const T phi = T(0.5) * std::erfc(-at * T(0.70710678118654752440));
    hidden[i] = at * phi;
    gradient[i] *= phi + at * T(0.39894228040143267794) * std::exp(T(-0.5) * at * at);
  }
}

/// The reference of kernels::gelu_tanh_backward: the derivative is (1 + tanh u) / 2 + x (1 - tanh^2 u) u' /
/// 2, where u = sqrt(2 / pi) (x + 0.044715 x^3).
template <class T>
void gelu_tanh_backward(const T* x, Index size, T* hidden, T* gradient) {
  const T factor = T(0.79788456080286535588);
  for (Index i = 0; i < size; ++i) {
    const T at = x[i];
    const T tanh = std::tanh(factor * (at + T(0.044715) * at * at * at));
    hidden[i] = T(0.5) * at * (T(1) + tanh);
    gradient[i] *= T(0.5) * (T(1) + tanh) +
                   T(0.5) * at * (T(1) - tanh * tanh) * factor * (T(1) + T(3 * 0.044715) * at * at);
  }
}

/// The reference of kernels::layer_norm_backward, without scratch memory and threads.
template <class T>
void layer_norm_backward(const T* x, const T* gradient, Index rows, Index columns, const T* weight, T epsilon,
                         T* input_gradient, T* weight_gradient, T* bias_gradient) {
  std::fill_n(weight_gradient, columns, T(0));
  std::fill_n(bias_gradient, columns, T(0));
  const T count = static_cast<T>(columns);
  for (Index i = 0; i < rows; ++i, x += columns, gradient += columns, input_gradient += columns) {
    T mean = 0, variance = 0, mean_g = 0, mean_gn = 0;
    for (Index j = 0; j < columns; ++j) mean += x[j] / count;
    for (Index j = 0; j < columns; ++j) variance += (x[j] - mean) * (x[j] - mean) / count;
    const T deviation = std::sqrt(variance + epsilon);
    for (Index j = 0; j < columns; ++j) {
      mean_g += gradient[j] * weight[j] / count;
      mean_gn += gradient[j] * weight[j] * (x[j] - mean) / deviation / count;
    }
    for (Index j = 0; j < columns; ++j) {
      const T normal = (x[j] - mean) / deviation;
      input_gradient[j] += (gradient[j] * weight[j] - mean_g - normal * mean_gn) / deviation;
      weight_gradient[j] += gradient[j] * normal;
      bias_gradient[j] += gradient[j];
    }
  }
}

/// The reference of kernels::depthwise_7x7_input_gradient and kernels::depthwise_7x7_weight_gradient in one
/// function, without scratch memory and threads. It differentiates every product of the convolution.
template <class T>
void depthwise_7x7_backward(const T* x, const T* gradient, Index images, Index height, Index width,
                            Index channels, const T* weight, T* input_gradient, T* weight_gradient,
                            T* bias_gradient) {
  std::fill_n(input_gradient, images * height * width * channels, T(0));
  std::fill_n(weight_gradient, 49 * channels, T(0));
  std::fill_n(bias_gradient, channels, T(0));
  for (Index pixel = 0; pixel < images * height * width; ++pixel) {
    const Index row = pixel / width % height;
    const Index column = pixel % width;
    for (Index channel = 0; channel < channels; ++channel) {
      const T given = gradient[pixel * channels + channel];
      bias_gradient[channel] += given;
      for (Index tap = 0; tap < 49; ++tap) {
        const Index down = tap / 7 - 3;
        const Index across = tap % 7 - 3;
        if (row + down < 0 || row + down >= height || column + across < 0 || column + across >= width)
          continue;
        const Index seen = (pixel + down * width + across) * channels + channel;
        input_gradient[seen] += given * weight[tap * channels + channel];
        weight_gradient[tap * channels + channel] += given * x[seen];
      }
    }
  }
}

/// The reference of kernels::attention_backward, without threads.
template <class T>
void attention_backward(const T* qkv, const T* gradient, Index images, Index tokens, Index heads,
                        Index head_dim, T* qkv_gradient) {
  const Index dim = heads * head_dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(head_dim));
  std::fill_n(qkv_gradient, images * tokens * 3 * dim, T(0));
  std::vector<T> p(static_cast<std::size_t>(tokens)), dp(static_cast<std::size_t>(tokens));
  for (Index task = 0; task < images * heads; ++task) {
    const Index first = task / heads * tokens;
    const Index column = task % heads * head_dim;
    const auto at = [&](auto* values, Index token, Index part) {
      return values + (first + token) * 3 * dim + part * dim + column;
    };
    for (Index i = 0; i < tokens; ++i) {
      const T* const g = gradient + (first + i) * dim + column;
      T largest = -INFINITY, sum = 0, centre = 0;
      for (Index j = 0; j < tokens; ++j) {
        T score = 0, inner = 0;
        for (Index k = 0; k < head_dim; ++k) {
          score += at(qkv, i, 0)[k] * at(qkv, j, 1)[k];
          inner += g[k] * at(qkv, j, 2)[k];
        }
        p[static_cast<std::size_t>(j)] = score * scale;
        dp[static_cast<std::size_t>(j)] = inner;
        largest = std::max(largest, score * scale);
      }
      for (T& value : p) sum += value = std::exp(value - largest);
      for (T& value : p) value /= sum;
      for (std::size_t j = 0; j < p.size(); ++j) centre += p[j] * dp[j];
      for (Index j = 0; j < tokens; ++j) {
        const T weight = p[static_cast<std::size_t>(j)];
        const T ds = weight * (dp[static_cast<std::size_t>(j)] - centre) * scale;
        for (Index k = 0; k < head_dim; ++k) {
          at(qkv_gradient, i, 0)[k] += ds * at(qkv, j, 1)[k];
          at(qkv_gradient, j, 1)[k] += ds * at(qkv, i, 0)[k];
          at(qkv_gradient, j, 2)[k] += weight * g[k];
        }
      }
    }
  }
}

/// The reference of kernels::window_attention_backward for one map, based on reference::window_partition.
/// Sets qkv_gradient, and adds to padding_gradient and table_gradient.
template <class T>
void window_attention_backward(const T* qkv, const T* gradient, Index side, Index window, Index shift,
                               bool pad_before_shift, const MatrixView<T>& table, Index head_dim,
                               const T* padding, T* qkv_gradient, T* padding_gradient,
                               Matrix<T>& table_gradient) {
  const Index heads = table.cols();
  const Index dim = heads * head_dim;
  const Index tokens = window * window;
  const Index padded = (side + window - 1) / window * window;
  const auto places = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(table.rows()))));
  const T scale = T(1) / std::sqrt(static_cast<T>(head_dim));
  const auto divide = [&](const T* map, Index size, const T* fill) {
    return window_partition(map, side, size, window, shift, pad_before_shift, fill);
  };
  const std::vector<T> nothing(static_cast<std::size_t>(dim));
  const std::vector<T> x = divide(qkv, 3 * dim, padding);
  const std::vector<T> g = divide(gradient, dim, nothing.data());
  const std::vector<T> ones(static_cast<std::size_t>(side * side), T(1));
  const std::vector<T> is_pixel = divide(ones.data(), 1, nothing.data());
  std::vector<T> dx(x.size());
  // The number of the region of the shifted map that a token belongs to.
  const auto region = [&](Index place) {
    const auto band = [&](Index along) {
      return shift == 0 || along < padded - window ? 0 : along < padded - shift ? 1 : 2;
    };
    const Index across = padded / window;
    const Index first = place / tokens;
    return 3 * band(first / across * window + place % tokens / window) +
           band(first % across * window + place % window);
  };
  const auto at = [](auto& values, Index i) -> auto& {
    return values[static_cast<std::size_t>(i)];
  };
  std::vector<T> p(static_cast<std::size_t>(tokens)), dp(static_cast<std::size_t>(tokens));
  for (Index first = 0; first < padded * padded; first += tokens) {
    for (Index head = 0; head < heads; ++head) {
      for (Index query = 0; query < tokens; ++query) {
        const Index q = (first + query) * 3 * dim + head * head_dim;
        const auto bias_row = [&](Index key) {
          return (query / window - key / window + places / 2) * places + query % window - key % window +
                 places / 2;
        };
        T largest = -INFINITY, sum = 0, centre = 0;
        for (Index key = 0; key < tokens; ++key) {
          const Index k = (first + key) * 3 * dim + dim + head * head_dim;
          T score = 0, inner = 0;
          for (Index f = 0; f < head_dim; ++f) {
            score += at(x, q + f) * at(x, k + f);
            inner += at(g, (first + query) * dim + head * head_dim + f) * at(x, k + dim + f);
          }
          score = score * scale + table(bias_row(key), head);
          if (region(first + query) != region(first + key)) score -= T(100);
          at(p, key) = score;
          at(dp, key) = inner;
          largest = std::max(largest, score);
        }
        for (T& value : p) sum += value = std::exp(value - largest);
        for (T& value : p) value /= sum;
        for (Index key = 0; key < tokens; ++key) centre += at(p, key) * at(dp, key);
        for (Index key = 0; key < tokens; ++key) {
          const Index k = (first + key) * 3 * dim + dim + head * head_dim;
          const T ds = at(p, key) * (at(dp, key) - centre);
          table_gradient(bias_row(key), head) += ds;
          for (Index f = 0; f < head_dim; ++f) {
            at(dx, q + f) += ds * scale * at(x, k + f);
            at(dx, k + f) += ds * scale * at(x, q + f);
            at(dx, k + dim + f) += at(p, key) * at(g, (first + query) * dim + head * head_dim + f);
          }
        }
      }
    }
  }
  for (Index i = 0; i < padded * padded; ++i) {
    if (at(is_pixel, i) != T(0)) continue;
    for (Index j = 0; j < 3 * dim; ++j) padding_gradient[j] += at(dx, i * 3 * dim + j);
  }
  const std::vector<T> merged = window_merge(dx, side, 3 * dim, window, shift, pad_before_shift);
  std::copy(merged.begin(), merged.end(), qkv_gradient);
}

/// The reference of kernels::WeightGradient: dW = gradient^T x and, unless bias_gradient is null, db = the
/// sum of gradient over the rows.
template <class T>
void weight_gradient(const T* gradient, Index out, const T* x, Index in, Index rows, T* weight_gradient,
                     T* bias_gradient) {
  for (Index o = 0; o < out; ++o) {
    for (Index i = 0; i < in; ++i) {
      T sum = 0;
      for (Index row = 0; row < rows; ++row) sum += gradient[row * out + o] * x[row * in + i];
      weight_gradient[o * in + i] = sum;
    }
    if (bias_gradient == nullptr) continue;
    bias_gradient[o] = 0;
    for (Index row = 0; row < rows; ++row) bias_gradient[o] += gradient[row * out + o];
  }
}

template <class T>
void adamw_update(const T* gradient, Index size, const AdamWStep<T>& step, T* first, T* second, T* values) {
  for (Index i = 0; i < size; ++i) {
    const T g = step.gradient_scale * gradient[i];
    first[i] = step.beta1 * first[i] + (T(1) - step.beta1) * g;
    second[i] = step.beta2 * second[i] + (T(1) - step.beta2) * g * g;
    const T denominator = std::sqrt(second[i]) * step.second_correction + step.epsilon;
    values[i] = step.decay_factor * values[i] - step.step_size * first[i] / denominator;
  }
}

template <class T>
double square_sum(const T* values, Index size) {
  double sum = 0.0;
  for (Index i = 0; i < size; ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

}  // namespace vbp::inline VBP_ABI::kernels::reference
