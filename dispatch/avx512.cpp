/// The kernels for AVX-512 (F, CD, DQ and BW).

#include "dispatch/tables.hpp"

namespace dispatch {

extern constexpr vbp::simd::KernelTable<float> avx512_float =
    vbp::simd::kernel_table<xsimd::avx512bw, float>("avx512");
extern constexpr vbp::simd::KernelTable<double> avx512_double =
    vbp::simd::kernel_table<xsimd::avx512bw, double>("avx512");

}  // namespace dispatch
