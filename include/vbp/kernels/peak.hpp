#pragma once
/// What the arithmetic units of the threads can do at most: the yardstick of the benchmarks.

#include <atomic>
#include <chrono>

#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"

namespace vbp::kernels {

/// Floating-point operations a second of multiply-adds in registers, all threads of the pool together, in one
/// run of about a millisecond. The best of several is the peak; to be measured between the runs that are
/// compared with it, since the clock frequency moves.
template <class T>
double multiply_add_rate(ThreadPool& pool) {
  using Clock = std::chrono::steady_clock;
  constexpr Index rounds = 40000;
  std::atomic<Index> operations{0};
  const Clock::time_point begin = Clock::now();
  pool.parallel_for(pool.size(), [&](Index) {
    T values[3] = {T(0.5), T(0.25), T(0)};
    operations += table<T>().multiply_add_loop(rounds, values);
  });
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return static_cast<double>(operations.load()) / seconds;
}

}  // namespace vbp::kernels
