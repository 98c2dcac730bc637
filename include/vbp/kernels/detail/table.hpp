#pragma once
/// The kernels of one architecture behind pointers, so that a program can carry several and choose.

#include "vbp/kernels/detail/activation_backward.hpp"
#include "vbp/kernels/detail/adamw.hpp"
#include "vbp/kernels/detail/attention.hpp"
#include "vbp/kernels/detail/attention_backward.hpp"
#include "vbp/kernels/detail/depthwise.hpp"
#include "vbp/kernels/detail/depthwise_backward.hpp"
#include "vbp/kernels/detail/gemm.hpp"
#include "vbp/kernels/detail/layer_norm.hpp"
#include "vbp/kernels/detail/layer_norm_backward.hpp"
#include "vbp/kernels/detail/math.hpp"
#include "vbp/kernels/detail/moments.hpp"
#include "vbp/kernels/detail/norm.hpp"
#include "vbp/kernels/detail/peak.hpp"
#include "vbp/kernels/detail/softmax.hpp"
#include "vbp/kernels/detail/syrk.hpp"
#include "vbp/kernels/detail/transpose.hpp"

namespace vbp::simd {

/// A kernel joins with a member here, whose type is the same for every architecture, and a line in
/// kernel_table.
template <class T>
struct KernelTable {
  const char* architecture;
  std::size_t register_bytes;
  std::ptrdiff_t panel;  ///< columns of a panel of packed W
  decltype(&simd::pack_panels<xsimd::default_arch, T>) pack_panels;
  decltype(&simd::pack_panels_transposed<xsimd::default_arch, T>) pack_panels_transposed;
  decltype(&simd::gemm_tiles<xsimd::default_arch, T>) gemm_tiles;
  decltype(&simd::gemm_scratch_elements<xsimd::default_arch, T>) gemm_scratch_elements;
  decltype(&simd::gemm_task<xsimd::default_arch, T>) gemm_task;
  decltype(&simd::attention_blocks<xsimd::default_arch, T>) attention_blocks;
  decltype(&simd::attention_scratch_elements<xsimd::default_arch, T>) attention_scratch_elements;
  decltype(&simd::attention_task<xsimd::default_arch, T>) attention_task;
  decltype(&simd::window_attention_scratch_elements<xsimd::default_arch, T>)
      window_attention_scratch_elements;
  decltype(&simd::window_attention_task<xsimd::default_arch, T>) window_attention_task;
  decltype(&simd::softmax<xsimd::default_arch, T>) softmax;
  decltype(&simd::layer_norm<xsimd::default_arch, T>) layer_norm;
  decltype(&simd::depthwise_7x7<xsimd::default_arch, T>) depthwise_7x7;
  void (*gelu)(const T*, std::ptrdiff_t, T*) noexcept;
  void (*gelu_tanh)(const T*, std::ptrdiff_t, T*) noexcept;
  decltype(&simd::add_shifted_moments<xsimd::default_arch, T, float>) add_shifted_moments_of_float;
  decltype(&simd::add_shifted_moments<xsimd::default_arch, T, double>) add_shifted_moments_of_double;
  decltype(&simd::gelu_backward<xsimd::default_arch, T>) gelu_backward;
  decltype(&simd::gelu_tanh_backward<xsimd::default_arch, T>) gelu_tanh_backward;
  decltype(&simd::layer_norm_backward<xsimd::default_arch, T>) layer_norm_backward;
  decltype(&simd::depthwise_7x7_weight_gradient<xsimd::default_arch, T>) depthwise_7x7_weight_gradient;
  decltype(&simd::attention_backward_scratch_elements<xsimd::default_arch, T>)
      attention_backward_scratch_elements;
  decltype(&simd::attention_head_backward<xsimd::default_arch, T>) attention_head_backward;
  decltype(&simd::window_attention_backward_scratch_elements<xsimd::default_arch, T>)
      window_attention_backward_scratch_elements;
  decltype(&simd::window_attention_backward_task<xsimd::default_arch, T>) window_attention_backward_task;
  decltype(&simd::transpose<xsimd::default_arch, T>) transpose;
  decltype(&simd::sum<xsimd::default_arch, T>) sum;
  decltype(&simd::square_sum<xsimd::default_arch, T>) square_sum;
  decltype(&simd::adamw_update<xsimd::default_arch, T>) adamw_update;
  std::ptrdiff_t deviation_panel;  ///< columns of a panel of packed deviations
  decltype(&simd::pack_shifted<xsimd::default_arch, T, float>) pack_shifted_of_float;
  decltype(&simd::pack_shifted<xsimd::default_arch, T, double>) pack_shifted_of_double;
  decltype(&simd::add_panel_products<xsimd::default_arch, T>) add_panel_products;
  decltype(&simd::add_panel_squares<xsimd::default_arch, T>) add_panel_squares;
  decltype(&simd::multiply_add_loop<xsimd::default_arch, T>) multiply_add_loop;
};

template <class Arch, class T>
constexpr KernelTable<T> kernel_table(const char* architecture) noexcept {
  return {.architecture = architecture,
          .register_bytes = kRegisterBytes<Arch, T>,
          .panel = GemmShape<Arch, T>::columns,
          .pack_panels = &pack_panels<Arch, T>,
          .pack_panels_transposed = &pack_panels_transposed<Arch, T>,
          .gemm_tiles = &gemm_tiles<Arch, T>,
          .gemm_scratch_elements = &gemm_scratch_elements<Arch, T>,
          .gemm_task = &gemm_task<Arch, T>,
          .attention_blocks = &attention_blocks<Arch, T>,
          .attention_scratch_elements = &attention_scratch_elements<Arch, T>,
          .attention_task = &attention_task<Arch, T>,
          .window_attention_scratch_elements = &window_attention_scratch_elements<Arch, T>,
          .window_attention_task = &window_attention_task<Arch, T>,
          .softmax = &softmax<Arch, T>,
          .layer_norm = &layer_norm<Arch, T>,
          .depthwise_7x7 = &depthwise_7x7<Arch, T>,
          .gelu = &gelu<Arch, T>,
          .gelu_tanh = &gelu_tanh<Arch, T>,
          .add_shifted_moments_of_float = &add_shifted_moments<Arch, T, float>,
          .add_shifted_moments_of_double = &add_shifted_moments<Arch, T, double>,
          .gelu_backward = &gelu_backward<Arch, T>,
          .gelu_tanh_backward = &gelu_tanh_backward<Arch, T>,
          .layer_norm_backward = &layer_norm_backward<Arch, T>,
          .depthwise_7x7_weight_gradient = &depthwise_7x7_weight_gradient<Arch, T>,
          .attention_backward_scratch_elements = &attention_backward_scratch_elements<Arch, T>,
          .attention_head_backward = &attention_head_backward<Arch, T>,
          .window_attention_backward_scratch_elements = &window_attention_backward_scratch_elements<Arch, T>,
          .window_attention_backward_task = &window_attention_backward_task<Arch, T>,
          .transpose = &transpose<Arch, T>,
          .sum = &sum<Arch, T>,
          .square_sum = &square_sum<Arch, T>,
          .adamw_update = &adamw_update<Arch, T>,
          .deviation_panel = SyrkShape<Arch, T>::columns,
          .pack_shifted_of_float = &pack_shifted<Arch, T, float>,
          .pack_shifted_of_double = &pack_shifted<Arch, T, double>,
          .add_panel_products = &add_panel_products<Arch, T>,
          .add_panel_squares = &add_panel_squares<Arch, T>,
          .multiply_add_loop = &multiply_add_loop<Arch, T>};
}

}  // namespace vbp::simd
