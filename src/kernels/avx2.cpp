/// The kernels for AVX2 with FMA.

#include "src/kernels/table.hpp"

namespace vbp::simd {

extern constexpr Table<float> avx2_float = Table<float>::of<xsimd::fma3<xsimd::avx2>>();
extern constexpr Table<double> avx2_double = Table<double>::of<xsimd::fma3<xsimd::avx2>>();

}  // namespace vbp::simd
