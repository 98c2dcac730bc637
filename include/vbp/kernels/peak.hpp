#pragma once
/// What the arithmetic units of the threads can do at most: the yardstick of the benchmarks.

#include <atomic>
#include <chrono>

#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Floating-point operations a second of multiply-adds in registers, all threads of the pool together, in one
/// run of a few milliseconds. The best of several is the peak; to be measured between the runs that are
/// compared with it, since the clock frequency moves.
template <class T>
double multiply_add_rate(ThreadPool& pool) {
  using Clock = std::chrono::steady_clock;
  constexpr Index rounds = 100000;
  std::atomic<double> rate{0.0};
  // Each thread times itself: how long the pool takes to wake it is none of the arithmetic's business.
  pool.parallel_for(pool.size(), [&](Index) {
    T values[3] = {T(0.5), T(0.25), T(0)};
    const Clock::time_point begin = Clock::now();
    const Index operations = table<T>().multiply_add_loop(rounds, values);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    rate += static_cast<double>(operations) / seconds;
  });
  return rate;
}

}  // namespace vbp::inline VBP_ABI::kernels
