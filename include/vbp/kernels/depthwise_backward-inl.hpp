#pragma once
/// Bodies of depthwise_backward.hpp.

#include <algorithm>

#include "vbp/kernels/depthwise_backward.hpp"
#include "vbp/kernels/detail/depthwise_backward.hpp"
#include "vbp/kernels/entry-inl.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void depthwise_7x7_input_gradient(const T* gradient, Index images, Index height, Index width, Index channels,
                                  const T* weight, T* turned, T* input_gradient, Workspace<T>& workspace) {
  for (Index tap = 0; tap < 49; ++tap) {
    std::copy_n(weight + (48 - tap) * channels, channels, turned + tap * channels);
  }
  depthwise_7x7(gradient, channels, images, height, width, channels, turned, static_cast<const T*>(nullptr),
                input_gradient, channels, workspace);
}

template <class T>
void depthwise_7x7_weight_gradient(const T* x, const T* gradient, Index images, Index height, Index width,
                                   Index channels, T* weight_gradient, T* bias_gradient, T* partial,
                                   Workspace<T>& workspace) {
  // Two cache lines per pixel: the prefetcher loads lines in pairs.
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
    entry<simd::Depthwise7x7WeightGradient, T>()(operands, group * channels / groups,
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
