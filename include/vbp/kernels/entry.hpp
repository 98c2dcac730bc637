#pragma once
/// Chooses the instruction set of the kernels.
///
/// Each kernel is written once, as a template over the instruction set, in kernels/detail/. Its entry, a
/// struct next to it, returns the instantiation: simd::Gelu::body<Arch, T>(). In header-only mode,
/// entry<simd::Gelu, T>() is the instantiation for the instruction set that the compiler targets. It is known
/// at compile time, so a program compiles only the kernels that it calls. In vbp::compiled, entry() reads it
/// from a table for the instruction set that was chosen at run time for this CPU.

#include <string>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// The kernels of one instruction set. Packed data keeps a reference to the kernels that packed it.
template <class T>
class Entries;

/// The kernels in use.
template <class T>
const Entries<T>& entries() noexcept;

/// An instruction set that this program has kernels for.
struct Architecture {
  std::string name;        ///< "avx512", "avx2", ...
  Index register_bytes;    ///< bytes of a vector register
  bool supported = false;  ///< whether this CPU and its operating system support it
};

/// All instruction sets that this program has kernels for, the best first. In header-only mode, this is only
/// the one that the compiler targets.
VBP_FUNCTION std::vector<Architecture> architectures();

/// The instruction set in use: the best that the CPU supports, unless select_architecture() has set another.
VBP_FUNCTION Architecture architecture();

/// Uses the kernels of the instruction set `name` from now on; an empty name means the best that the CPU
/// supports. Call it before the first kernel runs, because packed weights can only be read by the kernels
/// that packed them. Throws ValueError if the program has no such kernels or the CPU does not support them.
VBP_FUNCTION void select_architecture(const std::string& name);

/// Calls select_architecture() with the value of the environment variable VBP_ARCH.
VBP_FUNCTION void select_architecture_by_environment();

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/entry-inl.hpp"
#endif
