#pragma once
/// Bodies of entry.hpp.

#include <cstdlib>

#include <xsimd/xsimd.hpp>

#include "vbp/core/error.hpp"
#include "vbp/kernels/detail/simd.hpp"
#include "vbp/kernels/entry.hpp"

namespace vbp::inline VBP_ABI::kernels {

#if !defined(VBP_COMPILED)

/// In header-only mode, the kernels for the instruction set that the compiler targets.
template <class T>
class Entries {
 public:
  template <class Kernel>
  static constexpr auto get() noexcept {
    return Kernel::template body<xsimd::default_arch, T>();
  }
};

template <class T>
const Entries<T>& entries() noexcept {
  static constexpr Entries<T> only;
  return only;
}

VBP_FUNCTION std::vector<Architecture> architectures() {
  return {{.name = xsimd::default_arch::name(),
           .register_bytes = entries<float>().template get<simd::RegisterBytes>(),
           .supported = true}};
}

VBP_FUNCTION Architecture architecture() {
  return architectures().front();
}

VBP_FUNCTION void select_architecture(const std::string& name) {
  const std::string only = architecture().name;
  if (name.empty() || name == only) return;
  throw ValueError("there are no kernels for \"" + name + "\", only for " + only);
}

VBP_FUNCTION void select_architecture_by_environment() {
  const char* const name = std::getenv("VBP_ARCH");
  select_architecture(name == nullptr ? "" : name);
}

#endif

/// The function (or the constant) of `Kernel` for the instruction set in use.
template <class Kernel, class T>
auto entry() noexcept {
  return entries<T>().template get<Kernel>();
}

}  // namespace vbp::inline VBP_ABI::kernels
