#pragma once
/// Which body of a kernel runs.
///
/// A kernel is written once, as a template over the instruction set (kernels/detail/). Its entry, a struct
/// beside it, names that body: simd::Gelu::body<Arch, T>(). Header-only, entry<simd::Gelu, T>() is the body
/// for the compiler's own instruction set, known at compile time, so that a program compiles only the kernels
/// it calls. In vbp::compiled it is read from the table of the instruction set that was chosen for this CPU.

#include <string>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// The entries of one instruction set: what packed data remembers of the kernels that packed it.
template <class T>
class Entries;

/// Those in use.
template <class T>
const Entries<T>& entries() noexcept;

/// An instruction set that kernels are there for.
struct Architecture {
  std::string name;        ///< "avx512", "avx2", ...
  Index register_bytes;    ///< of a vector register
  bool supported = false;  ///< by this CPU and its operating system
};

/// What this program has kernels for, the best first. Header-only that is the compiler's instruction set
/// alone.
VBP_FUNCTION std::vector<Architecture> architectures();

/// The one in use: the best that the CPU supports, until select_architecture() says otherwise.
VBP_FUNCTION Architecture architecture();

/// Uses the kernels of this name from now on, or the best that the CPU supports if it is empty. Call it
/// before the first kernel runs: packed weights are read by the kernels that packed them. Throws ValueError
/// if the program lacks them or the CPU does.
VBP_FUNCTION void select_architecture(const std::string& name);

/// The same with the name that the environment variable VBP_ARCH holds.
VBP_FUNCTION void select_architecture_by_environment();

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/entry-inl.hpp"
#endif
