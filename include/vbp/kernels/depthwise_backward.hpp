#pragma once
/// The backward pass of the depthwise convolution.

#include <algorithm>

#include "vbp/core/types.hpp"
#include "vbp/kernels/depthwise.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

namespace detail {

// Number of images that one task processes: one, or more if they have at most 1024 pixels together. A task
// then reads much more than its sums occupy, which are 50 per channel. The sums of the tasks are added in
// order, so the rounding depends on this number and not on the number of threads.
inline Index depthwise_images_together(Index pixels) noexcept {
  return std::max<Index>(1, 1024 / pixels);
}

inline Index depthwise_chunks(Index images, Index pixels) noexcept {
  const Index together = depthwise_images_together(pixels);
  return (images + together - 1) / together;
}

}  // namespace detail

/// Number of elements of `partial` that depthwise_7x7_weight_gradient() needs.
inline Index depthwise_7x7_weight_gradient_elements(Index images, Index height, Index width,
                                                    Index channels) noexcept {
  return detail::depthwise_chunks(images, height * width) * 50 * channels;
}

/// Computes the gradient of a loss with respect to x, where out = depthwise_7x7(x). `gradient` is the
/// gradient with respect to out; it and input_gradient are [images * height * width, channels]. The
/// computation is the same convolution, without bias and with all kernels rotated by 180 degrees. `turned` is
/// scratch memory for the rotated kernels, [7 * 7, channels].
template <class T>
void depthwise_7x7_input_gradient(const T* gradient, Index images, Index height, Index width, Index channels,
                                  const T* weight, T* turned, T* input_gradient, Workspace<T>& workspace);

/// Computes the gradients with respect to weight [7 * 7, channels] and bias [channels], where out =
/// depthwise_7x7(x) and `gradient` is the gradient with respect to out. `partial` is scratch memory. The
/// result does not depend on the number of threads.
template <class T>
void depthwise_7x7_weight_gradient(const T* x, const T* gradient, Index images, Index height, Index width,
                                   Index channels, T* weight_gradient, T* bias_gradient, T* partial,
                                   Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/depthwise_backward-inl.hpp"
#endif
