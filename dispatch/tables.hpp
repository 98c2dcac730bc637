#pragma once
/// The kernels of each translation unit. It includes nothing but the bodies: what several units compiled for
/// themselves under one name, the linker would take from any of them.

#include "vbp/kernels/detail/table.hpp"

namespace dispatch {

extern const vbp::simd::KernelTable<float> avx2_float;
extern const vbp::simd::KernelTable<double> avx2_double;
extern const vbp::simd::KernelTable<float> avx512_float;
extern const vbp::simd::KernelTable<double> avx512_double;

}  // namespace dispatch
