#pragma once
/// The two ways to compile vbp: header-only, or linked against the library vbp::compiled.
///
/// The CMake target vbp::compiled defines VBP_COMPILED; users should not define it themselves. vbp has two
/// more macros: VBP_FUNCTION and VBP_ABI. VBP_PASTE and VBP_EXPAND only build the value of VBP_ABI.

#include <Eigen/Core>

/// Precedes every non-template function that X.hpp declares and X-inl.hpp defines. Without VBP_COMPILED, it
/// turns the function into a template, so that only translation units that call the function compile its
/// body. With VBP_COMPILED, it expands to nothing, and src/ compiles the body once.
#if defined(VBP_COMPILED)
#define VBP_FUNCTION
#else
#define VBP_FUNCTION template <class...>
#endif

/// The inline namespace of everything in vbp except the errors. Translation units that exchange objects must
/// agree on the mode, on Eigen's allocation alignment, and on whether Eigen takes memory from malloc as it
/// is. In header-only mode they must also agree on the instruction set, because kernels and packed weights
/// depend on it. The name of the namespace contains all of this. Units that differ can be linked into one
/// program. Passing an object between such units fails to link, and the name of the missing symbol shows the
/// difference.
#define VBP_PASTE(mode, alignment, malloc) mode##alignment##_system_malloc_##malloc
#define VBP_EXPAND(mode, alignment, malloc) VBP_PASTE(mode, alignment, malloc)
#if defined(VBP_COMPILED)
#define VBP_ABI VBP_EXPAND(compiled_eigen_align_, EIGEN_MAX_ALIGN_BYTES, EIGEN_MALLOC_ALREADY_ALIGNED)
#elif defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512CD__)
#define VBP_ABI \
  VBP_EXPAND(header_only_avx512_eigen_align_, EIGEN_MAX_ALIGN_BYTES, EIGEN_MALLOC_ALREADY_ALIGNED)
#elif defined(__AVX2__) && defined(__FMA__)
#define VBP_ABI VBP_EXPAND(header_only_avx2_eigen_align_, EIGEN_MAX_ALIGN_BYTES, EIGEN_MALLOC_ALREADY_ALIGNED)
#elif defined(__AVX__)
#define VBP_ABI VBP_EXPAND(header_only_avx_eigen_align_, EIGEN_MAX_ALIGN_BYTES, EIGEN_MALLOC_ALREADY_ALIGNED)
#else
#define VBP_ABI \
  VBP_EXPAND(header_only_baseline_eigen_align_, EIGEN_MAX_ALIGN_BYTES, EIGEN_MALLOC_ALREADY_ALIGNED)
#endif
