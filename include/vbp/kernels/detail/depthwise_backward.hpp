#pragma once

#include <cstddef>

#include "vbp/kernels/detail/depthwise.hpp"
#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

/// Consecutive images, channels last and without gaps, and the gradient of a loss with respect to the output
/// of their convolution, in the same layout.
template <class T>
struct DepthwiseGradientOperands {
  const T* x = nullptr;
  const T* gradient = nullptr;
  std::ptrdiff_t images = 0;
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;
  std::ptrdiff_t channels = 0;
  T* sums = nullptr;  ///< [7 * 7 + 1, channels]: gradients of the kernel, then of the bias
};

/// Adds the contribution of `Pixels` neighbouring pixels of a row to one row of the kernel's gradient, which
/// is sums[7 * lanes]. It mirrors depthwise_tile: every input is loaded once and multiplied with the
/// gradients of all outputs that it contributed to.
template <class Arch, class T, std::ptrdiff_t Pixels>
[[gnu::flatten]] inline void depthwise_gradient_tile(const T* line, const T* gradient, std::ptrdiff_t column,
                                                     std::ptrdiff_t width, std::ptrdiff_t channels,
                                                     T* sums) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  B of_tap[7], given[Pixels];
  unrolled<7>([&](auto k) { of_tap[k] = B::load_aligned(sums + k * lanes); });
  unrolled<Pixels>([&](auto i) { given[i] = B::load_unaligned(gradient + (column + i) * channels); });
  unrolled<Pixels + 6>([&](auto j) {
    constexpr std::ptrdiff_t place = decltype(j)::value;
    if (column + place < 3 || column + place >= width + 3) return;
    const B value = B::load_unaligned(line + (column + place - 3) * channels);
    unrolled<7>([&](auto k) {
      constexpr std::ptrdiff_t i = place - decltype(k)::value;
      if constexpr (i >= 0 && i < Pixels) of_tap[k] = multiply_add<Arch, T>(value, given[i], of_tap[k]);
    });
  });
  unrolled<7>([&](auto k) { of_tap[k].store_aligned(sums + k * lanes); });
}

/// Adds the pixels of a row from `column` on, in tiles of `Pixels` while they fit and then in smaller tiles.
template <class Arch, class T, std::ptrdiff_t Pixels>
inline void depthwise_gradient_row(const T* line, const T* gradient, std::ptrdiff_t column,
                                   std::ptrdiff_t width, std::ptrdiff_t channels, T* sums) noexcept {
  for (; column + Pixels <= width; column += Pixels) {
    depthwise_gradient_tile<Arch, T, Pixels>(line, gradient, column, width, channels, sums);
  }
  if constexpr (Pixels > 1) {
    depthwise_gradient_row<Arch, T, Pixels / 2>(line, gradient, column, width, channels, sums);
  }
}

/// Sets of.sums for channels [first_channel, last_channel) to the sums over all pixels.
template <class Arch, class T>
void depthwise_7x7_weight_gradient(const DepthwiseGradientOperands<T>& of, std::ptrdiff_t first_channel,
                                   std::ptrdiff_t last_channel) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t row_size = of.width * of.channels;
  if (last_channel - first_channel < lanes) {
    for (std::ptrdiff_t channel = first_channel; channel < last_channel; ++channel) {
      T sums[50] = {};
      for (std::ptrdiff_t row = 0; row < of.images * of.height; ++row) {
        const DepthwiseTaps down = depthwise_taps<Arch>(row % of.height, of.height);
        for (std::ptrdiff_t column = 0; column < of.width; ++column) {
          const DepthwiseTaps across = depthwise_taps<Arch>(column, of.width);
          const T given = of.gradient[row * row_size + column * of.channels + channel];
          for (std::ptrdiff_t i = down.begin; i < down.end; ++i) {
            for (std::ptrdiff_t j = across.begin; j < across.end; ++j) {
              sums[i * 7 + j] +=
                  given * of.x[(row + i - 3) * row_size + (column + j - 3) * of.channels + channel];
            }
          }
          sums[49] += given;
        }
      }
      for (std::ptrdiff_t tap = 0; tap < 50; ++tap) of.sums[tap * of.channels + channel] = sums[tap];
    }
    return;
  }
  // As in the forward pass: the gradients, one row of sums and the input fill the registers.
  constexpr std::ptrdiff_t pixels = kRegisterBytes<Arch, T> == 64 ? 14 : 7;
  alignas(64) T sums[50 * lanes];
  for (std::ptrdiff_t channel = first_channel;;) {
    for (std::ptrdiff_t tap = 0; tap < 50; ++tap) B(T(0)).store_aligned(sums + tap * lanes);
    for (std::ptrdiff_t row = 0; row < of.images * of.height; ++row) {
      const T* const gradient = of.gradient + row * row_size + channel;
      const DepthwiseTaps down = depthwise_taps<Arch>(row % of.height, of.height);
      for (std::ptrdiff_t tap = down.begin; tap < down.end; ++tap) {
        depthwise_gradient_row<Arch, T, pixels>(of.x + (row + tap - 3) * row_size + channel, gradient, 0,
                                                of.width, of.channels, sums + tap * 7 * lanes);
      }
      B bias = B::load_aligned(sums + 49 * lanes);
      for (std::ptrdiff_t column = 0; column < of.width; ++column) {
        bias += B::load_unaligned(gradient + column * of.channels);
      }
      bias.store_aligned(sums + 49 * lanes);
    }
    for (std::ptrdiff_t tap = 0; tap < 50; ++tap) {
      B::load_aligned(sums + tap * lanes).store_unaligned(of.sums + tap * of.channels + channel);
    }
    if (channel + lanes == last_channel) return;
    // If the channels do not fill the last vector, it overlaps the one before it.
    channel = channel + 2 * lanes <= last_channel ? channel + lanes : last_channel - lanes;
  }
}

// Entries: see kernels/entry.hpp.

struct Depthwise7x7WeightGradient {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&depthwise_7x7_weight_gradient<Arch, T>) {
    return &depthwise_7x7_weight_gradient<Arch, T>;
  }
};

}  // namespace vbp::simd
