#pragma once
/// The architecture that the kernels are compiled for: the best one that the compiler's flags allow.

#include <xsimd/xsimd.hpp>

namespace vbp::kernels {

using DefaultArch = xsimd::default_arch;

}  // namespace vbp::kernels
