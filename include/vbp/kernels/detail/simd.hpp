#pragma once
/// The few operations that xsimd 8.1 lacks or does slowly.
/// Nothing in detail/ uses Eigen or a standard container: these bodies are compiled once an architecture.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <xsimd/xsimd.hpp>

namespace vbp::kernels::detail {

template <class Arch, class T>
using Batch = xsimd::batch<T, Arch>;

template <class Arch, class T>
inline constexpr std::size_t kRegisterBytes = sizeof(typename Batch<Arch, T>::register_type);

/// a * b + c, with one rounding wherever the architecture has the instruction.
template <class Arch, class T>
inline Batch<Arch, T> multiply_add(const Batch<Arch, T>& a, const Batch<Arch, T>& b,
                                   const Batch<Arch, T>& c) noexcept {
#if defined(__AVX512F__)
  // xsimd 8.1 has no AVX-512 fma of its own: it multiplies, rounds and adds.
  if constexpr (kRegisterBytes<Arch, T> == 64 && std::is_same_v<T, float>) return _mm512_fmadd_ps(a, b, c);
  if constexpr (kRegisterBytes<Arch, T> == 64 && std::is_same_v<T, double>) return _mm512_fmadd_pd(a, b, c);
#endif
  return xsimd::fma(a, b, c);
}

/// Batch<Arch, T>::size consecutive values of type S from any address, converted to T.
/// xsimd 8.1 converts float to double through memory, hence the two instructions by name.
template <class Arch, class T, class S>
inline Batch<Arch, T> load_as(const S* from) noexcept {
#if defined(__AVX512F__)
  if constexpr (kRegisterBytes<Arch, T> == 64 && std::is_same_v<T, double> && std::is_same_v<S, float>) {
    return _mm512_cvtps_pd(_mm256_loadu_ps(from));
  }
#endif
#if defined(__AVX__)
  if constexpr (kRegisterBytes<Arch, T> == 32 && std::is_same_v<T, double> && std::is_same_v<S, float>) {
    return _mm256_cvtps_pd(_mm_loadu_ps(from));
  }
#endif
  return Batch<Arch, T>::load_unaligned(from);
}

/// Sum of all lanes, in lane order.
template <class Arch, class T>
inline T sum_lanes(const Batch<Arch, T>& values) noexcept {
  constexpr std::size_t size = Batch<Arch, T>::size;
  alignas(64) T lanes[size];
  values.store_aligned(lanes);
  T sum = lanes[0];
  for (std::size_t i = 1; i < size; ++i) sum += lanes[i];
  return sum;
}

}  // namespace vbp::kernels::detail
