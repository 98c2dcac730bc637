#pragma once
/// The architecture that the kernels run on: the best one that the compiler's flags allow, unless the program
/// brings others and chooses.

#include <xsimd/xsimd.hpp>

#include "vbp/kernels/detail/table.hpp"

namespace vbp::inline VBP_ABI::kernels {

using DefaultArch = xsimd::default_arch;

template <class T>
using KernelTable = simd::KernelTable<T>;

namespace detail {

/// The kernels of the compiler's flags. Not inline, so that a program of many translation units can compile
/// them in one alone: VBP_EXTERN_KERNELS is defined for all of them, and one instantiates this function
/// explicitly.
template <class T>
const KernelTable<T>& default_table() noexcept {
  static constexpr simd::KernelTable<T> kernels = simd::kernel_table<DefaultArch, T>(DefaultArch::name());
  return kernels;
}

#if defined(VBP_EXTERN_KERNELS)
extern template const KernelTable<float>& default_table<float>() noexcept;
extern template const KernelTable<double>& default_table<double>() noexcept;
#endif

template <class T>
inline constinit const KernelTable<T>* chosen_table = nullptr;

}  // namespace detail

/// The kernels in use.
template <class T>
const KernelTable<T>& table() noexcept {
  return detail::chosen_table<T> != nullptr ? *detail::chosen_table<T> : detail::default_table<T>();
}

/// Uses other kernels from now on: those of a translation unit that was compiled for another architecture.
/// To be called before the first kernel runs, since weights are packed for the kernels that read them.
template <class T>
void use(const KernelTable<T>& kernels) noexcept {
  detail::chosen_table<T> = &kernels;
}

}  // namespace vbp::inline VBP_ABI::kernels
