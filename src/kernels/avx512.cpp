/// The kernels for AVX-512 (F, CD, DQ and BW).

#include "src/kernels/table.hpp"

namespace vbp::simd {

extern constexpr Table<float> avx512_float = Table<float>::of<xsimd::avx512bw>();
extern constexpr Table<double> avx512_double = Table<double>::of<xsimd::avx512bw>();

}  // namespace vbp::simd
