#pragma once
/// What the arithmetic units of the threads can do at most: the yardstick of the benchmarks.

#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Floating-point operations a second of multiply-adds in registers, all threads of the pool together, in one
/// run of a few milliseconds. The best of several is the peak; to be measured between the runs that are
/// compared with it, since the clock frequency moves.
template <class T>
double multiply_add_rate(ThreadPool& pool);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/peak-inl.hpp"
#endif
