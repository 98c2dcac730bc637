#pragma once

#include "vbp/kernels/detail/gemm.hpp"

namespace vbp::simd {

/// Computes x <- x a + b `rounds` times on as many independent vectors as the GEMM has sums, in registers
/// only. This is the highest rate at which multiply-adds can run. `values` holds a, b and, afterwards, the
/// sum of all x. Returns the number of operations; a multiply-add counts as two.
template <class Arch, class T>
[[gnu::flatten]] std::ptrdiff_t multiply_add_loop(std::ptrdiff_t rounds, T* values) noexcept {
  using B = Batch<Arch, T>;
  constexpr std::ptrdiff_t chains = 2 * GemmShape<Arch, T>::rows;
  const B a(values[0]);
  const B b(values[1]);
  B x[chains];
  unrolled<chains>([&](auto i) { x[i] = B(static_cast<T>(i)); });
  for (std::ptrdiff_t round = 0; round < rounds; ++round) {
    unrolled<chains>([&](auto i) { x[i] = multiply_add<Arch, T>(x[i], a, b); });
  }
  unrolled<chains - 1>([&](auto i) { x[0] += x[i + 1]; });
  values[2] = sum_lanes<Arch, T>(x[0]);
  return rounds * chains * 2 * static_cast<std::ptrdiff_t>(B::size);
}

// Entries: see kernels/entry.hpp.

struct MultiplyAddLoop {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&multiply_add_loop<Arch, T>) {
    return &multiply_add_loop<Arch, T>;
  }
};

}  // namespace vbp::simd
