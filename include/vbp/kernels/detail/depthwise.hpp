#pragma once

#include <cstddef>

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

/// One image, channels last. Pixels are stored row by row, x_stride (or out_stride) elements apart.
template <class T>
struct DepthwiseOperands {
  const T* x = nullptr;
  std::ptrdiff_t x_stride = 0;
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;
  std::ptrdiff_t channels = 0;
  const T* weight = nullptr;  ///< [7 * 7, channels]
  const T* bias = nullptr;    ///< [channels], or null for none
  T* out = nullptr;
  std::ptrdiff_t out_stride = 0;
};

/// The rows (or columns) [begin, end) of the kernel that lie inside an image of `size` rows (or columns) when
/// the kernel is centred at `center`.
struct DepthwiseTaps {
  std::ptrdiff_t begin, end;
};

template <class Arch>
inline DepthwiseTaps depthwise_taps(std::ptrdiff_t center, std::ptrdiff_t size) noexcept {
  return {center < 3 ? 3 - center : 0, size - center < 4 ? size - center + 3 : 7};
}

/// Computes `Pixels` neighbouring pixels of a row for one vector of channels. For each row of the kernel,
/// every input is loaded once and multiplied into all the sums that need it. A sum adds its products row by
/// row and from left to right for any `Pixels`. So the tile size does not change a bit of the result.
template <class Arch, class T, std::ptrdiff_t Pixels>
[[gnu::flatten]] inline void depthwise_tile(const DepthwiseOperands<T>& of, std::ptrdiff_t row,
                                            std::ptrdiff_t column, std::ptrdiff_t channel,
                                            const T* weight) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  B sums[Pixels];
  const B bias = of.bias == nullptr ? B(T(0)) : B::load_unaligned(of.bias + channel);
  unrolled<Pixels>([&](auto i) { sums[i] = bias; });
  const DepthwiseTaps taps = depthwise_taps<Arch>(row, of.height);
  for (std::ptrdiff_t tap = taps.begin; tap < taps.end; ++tap) {
    const T* const line = of.x + ((row + tap - 3) * of.width + column - 3) * of.x_stride + channel;
    B factors[7];
    unrolled<7>([&](auto k) { factors[k] = B::load_aligned(weight + (tap * 7 + k) * lanes); });
    unrolled<Pixels + 6>([&](auto j) {
      constexpr std::ptrdiff_t place = decltype(j)::value;
      // Pixels beyond the border are zero. All channels and rows of a tile take the same branches, so the CPU
      // predicts them well.
      if (column + place < 3 || column + place >= of.width + 3) return;
      const B value = B::load_unaligned(line + place * of.x_stride);
      unrolled<7>([&](auto k) {
        constexpr std::ptrdiff_t i = place - decltype(k)::value;
        if constexpr (i >= 0 && i < Pixels) sums[i] = multiply_add<Arch, T>(value, factors[k], sums[i]);
      });
    });
  }
  T* const out = of.out + (row * of.width + column) * of.out_stride + channel;
  unrolled<Pixels>([&](auto i) { sums[i].store_unaligned(out + i * of.out_stride); });
}

/// Computes the pixels of a row from `column` on, in tiles of `Pixels` while they fit and then in smaller
/// tiles.
template <class Arch, class T, std::ptrdiff_t Pixels>
inline void depthwise_row(const DepthwiseOperands<T>& of, std::ptrdiff_t row, std::ptrdiff_t column,
                          std::ptrdiff_t channel, const T* weight) noexcept {
  for (; column + Pixels <= of.width; column += Pixels) {
    depthwise_tile<Arch, T, Pixels>(of, row, column, channel, weight);
  }
  if constexpr (Pixels > 1) depthwise_row<Arch, T, Pixels / 2>(of, row, column, channel, weight);
}

/// Computes rows [first_row, last_row) and channels [first_channel, last_channel) of the depthwise 7x7
/// convolution with stride 1 and zero padding.
template <class Arch, class T>
void depthwise_7x7(const DepthwiseOperands<T>& of, std::ptrdiff_t first_row, std::ptrdiff_t last_row,
                   std::ptrdiff_t first_channel, std::ptrdiff_t last_channel) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  if (last_channel - first_channel < lanes) {
    for (std::ptrdiff_t row = first_row; row < last_row; ++row) {
      const DepthwiseTaps down = depthwise_taps<Arch>(row, of.height);
      for (std::ptrdiff_t column = 0; column < of.width; ++column) {
        const DepthwiseTaps across = depthwise_taps<Arch>(column, of.width);
        for (std::ptrdiff_t channel = first_channel; channel < last_channel; ++channel) {
          T sum = of.bias == nullptr ? T(0) : of.bias[channel];
          for (std::ptrdiff_t i = down.begin; i < down.end; ++i) {
            for (std::ptrdiff_t j = across.begin; j < across.end; ++j) {
              sum += of.x[((row + i - 3) * of.width + column + j - 3) * of.x_stride + channel] *
                     of.weight[(i * 7 + j) * of.channels + channel];
            }
          }
          of.out[(row * of.width + column) * of.out_stride + channel] = sum;
        }
      }
    }
    return;
  }
  // Besides the sums, seven registers hold a row of the kernel and one holds the input. CPUs with 64-byte
  // registers have 32 of them, enough for tiles of 14 pixels instead of 7.
  constexpr std::ptrdiff_t pixels = kRegisterBytes<Arch, T> == 64 ? 14 : 7;
  alignas(64) T weight[49 * lanes];
  for (std::ptrdiff_t channel = first_channel;;) {
    // Copies the weights of these channels next to each other. In `of.weight` they are `channels` elements
    // apart, and cache lines at that distance may compete for the same sets of the cache.
    for (std::ptrdiff_t tap = 0; tap < 49; ++tap) {
      B::load_unaligned(of.weight + tap * of.channels + channel).store_aligned(weight + tap * lanes);
    }
    for (std::ptrdiff_t row = first_row; row < last_row; ++row) {
      depthwise_row<Arch, T, pixels>(of, row, 0, channel, weight);
    }
    if (channel + lanes == last_channel) return;
    // If the channels do not fill the last vector, it overlaps the one before it.
    channel = channel + 2 * lanes <= last_channel ? channel + lanes : last_channel - lanes;
  }
}

// Entries: see kernels/entry.hpp.

struct Depthwise7x7 {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&depthwise_7x7<Arch, T>) {
    return &depthwise_7x7<Arch, T>;
  }
};

}  // namespace vbp::simd
