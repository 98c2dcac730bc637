#pragma once

#include "vbp/kernels/detail/operands.hpp"
#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

template <class Arch, class T>
void adamw_update(const T* gradient, std::ptrdiff_t size, const AdamWStep<T>& step, T* first, T* second,
                  T* values) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const auto update = [&](const T* g_at, T* m_at, T* v_at, T* w_at) noexcept {
    const B g = B::load_unaligned(g_at) * B(step.gradient_scale);
    // m + (1 - beta) (g - m), as in PyTorch's lerp. It is exact if g equals m.
    const B m_before = B::load_unaligned(m_at);
    const B m = multiply_add<Arch, T>(B(T(1) - step.beta1), g - m_before, m_before);
    const B v = multiply_add<Arch, T>(B(T(1) - step.beta2) * g, g, B::load_unaligned(v_at) * B(step.beta2));
    m.store_unaligned(m_at);
    v.store_unaligned(v_at);
    const B denominator = multiply_add<Arch, T>(xsimd::sqrt(v), B(step.second_correction), B(step.epsilon));
    const B decayed = B::load_unaligned(w_at) * B(step.decay_factor);
    (decayed - divide<Arch, T>(B(step.step_size) * m, denominator)).store_unaligned(w_at);
  };
  const std::ptrdiff_t whole = size / lanes * lanes;
  for (std::ptrdiff_t i = 0; i < whole; i += lanes) update(gradient + i, first + i, second + i, values + i);
  if (whole == size) return;
  alignas(64) T rest[4][B::size] = {};
  T* const at[] = {first, second, values};
  for (std::ptrdiff_t j = whole; j < size; ++j) {
    rest[3][j - whole] = gradient[j];
    for (int k = 0; k < 3; ++k) rest[k][j - whole] = at[k][j];
  }
  update(rest[3], rest[0], rest[1], rest[2]);
  for (std::ptrdiff_t j = whole; j < size; ++j) {
    for (int k = 0; k < 3; ++k) at[k][j] = rest[k][j - whole];
  }
}

// Entries: see kernels/entry.hpp.

struct AdamwUpdate {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&adamw_update<Arch, T>) {
    return &adamw_update<Arch, T>;
  }
};

}  // namespace vbp::simd
