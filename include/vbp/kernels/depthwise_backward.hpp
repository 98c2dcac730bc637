#pragma once
/// The backward pass of the depthwise convolution.

#include <algorithm>

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
#include "vbp/kernels/depthwise.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

namespace detail {

// Images that one task takes, at least so many pixels together that the sums of a task, 50 a channel, are
// little beside what it reads. They are joined in order, so their rounding depends on this and on no thread.
inline Index depthwise_images_together(Index pixels) noexcept {
  return std::max<Index>(1, 1024 / pixels);
}

inline Index depthwise_chunks(Index images, Index pixels) noexcept {
  const Index together = depthwise_images_together(pixels);
  return (images + together - 1) / together;
}

}  // namespace detail

/// Elements of `partial` that depthwise_7x7_weight_gradient needs.
inline Index depthwise_7x7_weight_gradient_elements(Index images, Index height, Index width,
                                                    Index channels) noexcept {
  return detail::depthwise_chunks(images, height * width) * 50 * channels;
}

/// For out = depthwise_7x7(x) and the gradient of a loss by out, both [images * height * width, channels]:
/// the gradient by x, [images * height * width, channels], which is the same convolution with the kernels
/// turned by 180 degrees and without bias. `turned` is room for these, [7 * 7, channels].
template <class T>
void depthwise_7x7_input_gradient(const T* gradient, Index images, Index height, Index width, Index channels,
                                  const T* weight, T* turned, T* input_gradient, Workspace<T>& workspace) {
  for (Index tap = 0; tap < 49; ++tap) {
    std::copy_n(weight + (48 - tap) * channels, channels, turned + tap * channels);
  }
  depthwise_7x7(gradient, channels, images, height, width, channels, turned, static_cast<const T*>(nullptr),
                input_gradient, channels, workspace);
}

/// For the same: sets the gradients by weight [7 * 7, channels] and bias [channels]. `partial` is scratch.
/// The result does not depend on the number of threads.
template <class T>
void depthwise_7x7_weight_gradient(const T* x, const T* gradient, Index images, Index height, Index width,
                                   Index channels, T* weight_gradient, T* bias_gradient, T* partial,
                                   Workspace<T>& workspace) {
  // Two cache lines of a pixel, which the prefetcher takes together.
  constexpr Index channels_together = 128 / static_cast<Index>(sizeof(T));
  const Index groups = (channels + channels_together - 1) / channels_together;
  const Index together = detail::depthwise_images_together(height * width);
  const Index chunks = detail::depthwise_chunks(images, height * width);
  workspace.pool().parallel_for(chunks * groups, [&](Index task) {
    const Index group = task % groups;
    const Index first = task / groups * together;
    const Index offset = first * height * width * channels;
    const simd::DepthwiseGradientOperands<T> operands = {.x = x + offset,
                                                         .gradient = gradient + offset,
                                                         .images = std::min(together, images - first),
                                                         .height = height,
                                                         .width = width,
                                                         .channels = channels,
                                                         .sums = partial + task / groups * 50 * channels};
    table<T>().depthwise_7x7_weight_gradient(operands, group * channels / groups,
                                             (group + 1) * channels / groups);
  });
  workspace.pool().parallel_for(50, [&](Index tap) {
    T* const to = tap < 49 ? weight_gradient + tap * channels : bias_gradient;
    std::fill_n(to, channels, T(0));
    for (Index chunk = 0; chunk < chunks; ++chunk) {
      const T* const from = partial + (chunk * 50 + tap) * channels;
      for (Index channel = 0; channel < channels; ++channel) to[channel] += from[channel];
    }
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
