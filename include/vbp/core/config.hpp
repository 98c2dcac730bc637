#pragma once
/// How vbp is compiled: as headers alone, or against the library vbp::compiled.
///
/// The CMake target vbp::compiled defines VBP_COMPILED; nothing else should. Three macros of vbp exist, and
/// these are all: VBP_COMPILED, VBP_FUNCTION and VBP_ABI.

#include <Eigen/Core>

/// Stands before every function of a header X.hpp that is no template and whose body is in X-inl.hpp. Without
/// VBP_COMPILED it makes the function a template, so that its body is compiled only in a unit that calls it;
/// with VBP_COMPILED it is nothing, and src/ holds the one compiled body.
#if defined(VBP_COMPILED)
#define VBP_FUNCTION
#else
#define VBP_FUNCTION template <class...>
#endif

/// The inline namespace that all of vbp but its errors is in. Its name says what must agree between
/// translation units that exchange objects: the mode, in header-only mode the instruction set that kernels
/// and packed weights are made for, and the alignment that Eigen allocates with. Units that differ work side
/// by side; passing an object from one to the other fails to link, and the missing symbol names the
/// difference.
#define VBP_PASTE(mode, alignment) mode##alignment
#define VBP_EXPAND(mode, alignment) VBP_PASTE(mode, alignment)
#if defined(VBP_COMPILED)
#define VBP_ABI VBP_EXPAND(compiled_eigen_align_, EIGEN_MAX_ALIGN_BYTES)
#elif defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512CD__)
#define VBP_ABI VBP_EXPAND(header_only_avx512_eigen_align_, EIGEN_MAX_ALIGN_BYTES)
#elif defined(__AVX2__) && defined(__FMA__)
#define VBP_ABI VBP_EXPAND(header_only_avx2_eigen_align_, EIGEN_MAX_ALIGN_BYTES)
#elif defined(__AVX__)
#define VBP_ABI VBP_EXPAND(header_only_avx_eigen_align_, EIGEN_MAX_ALIGN_BYTES)
#else
#define VBP_ABI VBP_EXPAND(header_only_baseline_eigen_align_, EIGEN_MAX_ALIGN_BYTES)
#endif
