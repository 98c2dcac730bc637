#pragma once
/// The depthwise convolution of ConvNeXt (Liu et al. 2022): each channel by itself, channels last.

#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// out = bias + the 7x7 cross-correlation (PyTorch's Conv2d) of each channel of `images` images [height,
/// width, channels] with its kernel, stride 1, zeros around. weight is [7 * 7, channels], a row a place of
/// the kernel; a null bias is none; pixels lie their strides apart, image behind image. out must not overlap
/// x. The result is the same, bit for bit, for any number of threads.
template <class T>
void depthwise_7x7(const T* x, Index x_stride, Index images, Index height, Index width, Index channels,
                   const T* weight, const T* bias, T* out, Index out_stride, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/depthwise-inl.hpp"
#endif
