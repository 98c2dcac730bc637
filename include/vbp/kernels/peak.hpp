#pragma once
/// The highest rate of multiply-adds that the threads can reach; the benchmarks compare kernels with it.

#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Floating-point operations per second of multiply-adds in registers, summed over all threads of the pool,
/// in one run of a few milliseconds. The peak is the best of several runs. Call it between the runs that are
/// compared with it, because the clock frequency changes over time.
template <class T>
double multiply_add_rate(ThreadPool& pool);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/peak-inl.hpp"
#endif
