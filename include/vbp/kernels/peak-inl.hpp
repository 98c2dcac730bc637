#pragma once
/// Bodies of peak.hpp.

#include <atomic>
#include <chrono>

#include "vbp/kernels/detail/peak.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/peak.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
double multiply_add_rate(ThreadPool& pool) {
  using Clock = std::chrono::steady_clock;
  constexpr Index rounds = 100000;
  std::atomic<double> rate{0.0};
  // Each thread measures its own time, so that the time to wake the threads does not count.
  pool.parallel_for(pool.size(), [&](Index) {
    T values[3] = {T(0.5), T(0.25), T(0)};
    const Clock::time_point begin = Clock::now();
    const Index operations = entry<simd::MultiplyAddLoop, T>()(rounds, values);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    rate += static_cast<double>(operations) / seconds;
  });
  return rate;
}

}  // namespace vbp::inline VBP_ABI::kernels
