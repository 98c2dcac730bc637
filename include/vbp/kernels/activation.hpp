#pragma once
/// GELU in its two forms, elementwise.

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
#include "vbp/kernels/detail/math.hpp"

namespace vbp::kernels {

namespace detail {

template <class Arch, class T, class Function>
void map(const T* x, std::ptrdiff_t size, T* out, Function&& function) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  std::ptrdiff_t i = 0;
  for (; i + lanes <= size; i += lanes) function(B::load_unaligned(x + i)).store_unaligned(out + i);
  if (i == size) return;
  alignas(64) T rest[B::size] = {};
  for (std::ptrdiff_t j = i; j < size; ++j) rest[j - i] = x[j];
  function(B::load_aligned(rest)).store_aligned(rest);
  for (std::ptrdiff_t j = i; j < size; ++j) out[j] = rest[j - i];
}

}  // namespace detail

/// out[i] = x[i] Phi(x[i]), the exact GELU; out may be x. NaN gives NaN. float: the error is below 2e-7, or 2
/// units in the last place where x > 2; minus infinity gives its limit, zero, within that.
template <class T>
void gelu(const T* x, Index size, T* out) noexcept {
  detail::map<DefaultArch>(x, size, out, [](const auto& v) { return detail::gelu<DefaultArch, T>(v); });
}

/// out[i] = 0.5 x[i] (1 + tanh(sqrt(2 / pi) (x[i] + 0.044715 x[i]^3))), the tanh approximation of GELU; out
/// may be x. NaN, minus infinity and the error as in gelu.
template <class T>
void gelu_tanh(const T* x, Index size, T* out) noexcept {
  detail::map<DefaultArch>(x, size, out, [](const auto& v) { return detail::gelu_tanh<DefaultArch, T>(v); });
}

}  // namespace vbp::kernels
