/// The kernels for AVX2 with FMA.

#include "dispatch/tables.hpp"

namespace dispatch {

extern constexpr vbp::simd::KernelTable<float> avx2_float =
    vbp::simd::kernel_table<xsimd::fma3<xsimd::avx2>, float>("avx2");
extern constexpr vbp::simd::KernelTable<double> avx2_double =
    vbp::simd::kernel_table<xsimd::fma3<xsimd::avx2>, double>("avx2");

}  // namespace dispatch
