#pragma once
/// The backward pass of the depthwise convolution.

#include <algorithm>

#include "vbp/core/types.hpp"
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
                                  const T* weight, T* turned, T* input_gradient, Workspace<T>& workspace);

/// For the same: sets the gradients by weight [7 * 7, channels] and bias [channels]. `partial` is scratch.
/// The result does not depend on the number of threads.
template <class T>
void depthwise_7x7_weight_gradient(const T* x, const T* gradient, Index images, Index height, Index width,
                                   Index channels, T* weight_gradient, T* bias_gradient, T* partial,
                                   Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/depthwise_backward-inl.hpp"
#endif
