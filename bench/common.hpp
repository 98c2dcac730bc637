#pragma once
/// Code that all benchmarks share: timing, comparison with the machine's peak, and the shapes of DeiT. A row
/// is one line of a benchmark's output.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "vbp/core/aligned.hpp"
#include "vbp/core/random.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/entry.hpp"
#include "vbp/kernels/peak.hpp"

namespace bench {

using vbp::Index;

/// Number of runs of each row. The best run counts.
inline constexpr int kRuns = 60;

/// The number in an environment variable, or 1 if it is not set.
inline int from_environment(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? 1 : std::atoi(text);
}

/// Number of threads of every row: VBP_THREADS, or 1 if it is not set.
inline int threads() {
  return from_environment("VBP_THREADS");
}

template <class Body>
double seconds_of(Body&& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

inline vbp::AlignedBuffer<float> random_values(Index size, std::uint64_t seed) {
  vbp::Random random(seed);
  vbp::AlignedBuffer<float> values(size);
  for (Index i = 0; i < size; ++i) values.data()[i] = static_cast<float>(2.0 * random.uniform() - 1.0);
  return values;
}

/// Reports GFLOP/s, and the percentage of the peak. The peak is the rate of multiply-adds in registers,
/// measured between the runs of this row.
template <class Body>
void arithmetic_row(benchmark::State& state, vbp::ThreadPool& pool, double operations, Body&& body) {
  double best = 1e30;
  double peak = 0.0;
  body();
  for (auto _ : state) {
    peak = std::max(peak, vbp::kernels::multiply_add_rate<float>(pool));
    const double seconds = seconds_of(body);
    best = std::min(best, seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["GFLOP/s"] = operations / best * 1e-9;
  state.counters["%peak"] = 100.0 * operations / best / peak;
}

/// Reports GB/s, and the percentage of the speed of a copy of the same number of bytes, measured between the
/// runs of this row. `bytes` is the number of bytes read plus the number of bytes written.
template <class Body>
void memory_row(benchmark::State& state, double bytes, Body&& body) {
  const auto half = static_cast<Index>(bytes / 2.0 / sizeof(float));
  const vbp::AlignedBuffer<float> from = random_values(half, 1);
  vbp::AlignedBuffer<float> to(half);
  double best = 1e30;
  double copy = 1e30;
  body();
  for (auto _ : state) {
    copy = std::min(copy, seconds_of([&] {
                      std::copy_n(from.data(), half, to.data());
                      benchmark::ClobberMemory();
                    }));
    const double seconds = seconds_of(body);
    best = std::min(best, seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["GB/s"] = bytes / best * 1e-9;
  state.counters["%copy"] = 100.0 * copy / best;
}

/// Adds a row that runs body(state) kRuns times.
template <class Body>
void add_row(const std::string& name, Body&& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)
      ->Iterations(kRuns)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

/// Calls register_rows(), which adds the rows, and runs them.
template <class Register>
int run_benchmarks(int argc, char** argv, Register&& register_rows) {
  benchmark::AddCustomContext("kernels", vbp::kernels::architecture().name);
  benchmark::AddCustomContext("threads", std::to_string(threads()));
  benchmark::Initialize(&argc, argv);
  register_rows();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

/// DeiT-T, -S and -B at 224 x 224 (Touvron et al. 2021).
struct Deit {
  const char* name;
  Index dim;
};
inline constexpr Deit kDeit[] = {{"T", 192}, {"S", 384}, {"B", 768}};
inline constexpr Index kTokens = 197;

}  // namespace bench
