#pragma once
/// A table of function pointers to the kernels of one instruction set. One program can contain several tables
/// and choose one at run time.
///
/// Each table is defined in its own translation unit, which is compiled with the flags of that instruction
/// set. Such a unit must only include kernel bodies. If several units compile a function with the same name,
/// the linker keeps any one copy, and the CPU might not be able to run that one.

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

/// One entry of a table. It has the same type for every instruction set.
template <class Kernel, class T>
struct Slot {
  decltype(Kernel::template body<xsimd::default_arch, T>()) value;
};

template <class T, class... Kernels>
struct TableOf : Slot<Kernels, T>... {
  template <class Kernel>
  auto get() const noexcept {
    return static_cast<const Slot<Kernel, T>&>(*this).value;
  }

  template <class Arch>
  static constexpr TableOf of() noexcept {
    return {Slot<Kernels, T>{Kernels::template body<Arch, T>()}...};
  }
};

/// All kernels of the library. To add a kernel, add its entry to this list.
template <class T>
using Table =
    TableOf<T, RegisterBytes, GemmColumns, PackPanels, PackPanelsTransposed, GemmTiles, GemmScratchElements,
            GemmTask, AttentionBlocks, AttentionScratchElements, AttentionTask,
            WindowAttentionScratchElements, WindowAttentionTask, Softmax, LayerNorm, Depthwise7x7, Gelu,
            GeluTanh, AddShiftedMoments<float>, AddShiftedMoments<double>, GeluBackward, GeluTanhBackward,
            LayerNormBackward, Depthwise7x7WeightGradient, AttentionBackwardScratchElements,
            AttentionHeadBackward, WindowAttentionBackwardScratchElements, WindowAttentionBackwardTask,
            Transpose, Sum, SquareSum, AdamwUpdate, SyrkColumns, PackShifted<float>, PackShifted<double>,
            AddPanelProducts, AddPanelSquares, MultiplyAddLoop>;

extern const Table<float> baseline_float;
extern const Table<double> baseline_double;
extern const Table<float> avx2_float;
extern const Table<double> avx2_double;
extern const Table<float> avx512_float;
extern const Table<double> avx512_double;

}  // namespace vbp::simd
