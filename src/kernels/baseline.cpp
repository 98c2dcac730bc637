/// The kernels for the instruction set of the flags that the library is compiled with.

#include "src/kernels/table.hpp"

namespace vbp::simd {

extern constexpr Table<float> baseline_float = Table<float>::of<xsimd::default_arch>();
extern constexpr Table<double> baseline_double = Table<double>::of<xsimd::default_arch>();

}  // namespace vbp::simd
