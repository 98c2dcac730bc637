#pragma once
/// Bodies of depthwise.hpp.

#include "vbp/kernels/depthwise.hpp"
#include "vbp/kernels/detail/depthwise.hpp"
#include "vbp/kernels/entry-inl.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void depthwise_7x7(const T* x, Index x_stride, Index images, Index height, Index width, Index channels,
                   const T* weight, const T* bias, T* out, Index out_stride, Workspace<T>& workspace) {
  // A task computes a band of rows for a group of channels. A band also reads six rows outside itself, and a
  // group first copies its kernels, so both should be large. They are still small enough that the smallest
  // feature map of one image gives several tasks.
  constexpr Index rows_together = 7;
  constexpr Index channels_together = 128;
  const Index bands = (height + rows_together - 1) / rows_together;
  const Index groups = (channels + channels_together - 1) / channels_together;
  workspace.pool().parallel_for(images * bands * groups, [&](Index task) {
    const Index group = task % groups;
    const Index band = task / groups % bands;
    const Index first_pixel = task / (groups * bands) * height * width;
    const simd::DepthwiseOperands<T> image = {.x = x + first_pixel * x_stride,
                                              .x_stride = x_stride,
                                              .height = height,
                                              .width = width,
                                              .channels = channels,
                                              .weight = weight,
                                              .bias = bias,
                                              .out = out + first_pixel * out_stride,
                                              .out_stride = out_stride};
    entry<simd::Depthwise7x7, T>()(image, band * height / bands, (band + 1) * height / bands,
                                   group * channels / groups, (group + 1) * channels / groups);
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
