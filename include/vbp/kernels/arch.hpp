#pragma once
/// The architecture that the kernels run on: the best one that the compiler's flags allow, unless the program
/// brings others and chooses.

#include <xsimd/xsimd.hpp>

#include "vbp/kernels/detail/table.hpp"

namespace vbp::kernels {

using DefaultArch = xsimd::default_arch;

template <class T>
using KernelTable = detail::KernelTable<T>;

namespace detail {

template <class T>
inline constexpr KernelTable<T> default_table = kernel_table<DefaultArch, T>(DefaultArch::name());

template <class T>
inline const KernelTable<T>* active_table = &default_table<T>;

}  // namespace detail

/// The kernels in use.
template <class T>
const KernelTable<T>& table() noexcept {
  return *detail::active_table<T>;
}

/// Uses other kernels from now on: those of a translation unit that was compiled for another architecture.
/// To be called before the first kernel runs, since weights are packed for the kernels that read them.
template <class T>
void use(const KernelTable<T>& kernels) noexcept {
  detail::active_table<T> = &kernels;
}

}  // namespace vbp::kernels
