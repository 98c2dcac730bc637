#pragma once
/// The depthwise 7x7 convolution of ConvNeXt (Liu et al. 2022), with channels last.

#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Convolves each channel of `images` images [height, width, channels] with its own 7x7 kernel and adds
/// `bias` [channels], with stride 1 and zero padding. As in PyTorch's Conv2d, this is a cross-correlation.
/// weight is [7 * 7, channels], one row per kernel position; `bias` may be null. x_stride and out_stride are
/// the distances between pixels; images follow each other without gaps. out must not overlap x. The result is
/// bitwise the same for any number of threads.
template <class T>
void depthwise_7x7(const T* x, Index x_stride, Index images, Index height, Index width, Index channels,
                   const T* weight, const T* bias, T* out, Index out_stride, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/depthwise-inl.hpp"
#endif
