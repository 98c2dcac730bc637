#pragma once
/// The few vector operations that xsimd 8.1 lacks or does slowly.
///
/// Nothing in detail/ uses Eigen or a standard container, because vbp::compiled compiles these headers once
/// for each instruction set. The linker keeps only one copy of an inline function that several units share,
/// and the CPU might not be able to run that copy.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <xsimd/xsimd.hpp>

namespace vbp::simd {

template <class Arch, class T>
using Batch = xsimd::batch<T, Arch>;

template <class Arch, class T>
inline constexpr std::size_t kRegisterBytes = sizeof(typename Batch<Arch, T>::register_type);

/// a * b + c, rounded once if the instruction set has fused multiply-add.
template <class Arch, class T>
inline Batch<Arch, T> multiply_add(const Batch<Arch, T>& a, const Batch<Arch, T>& b,
                                   const Batch<Arch, T>& c) noexcept {
#if defined(__AVX512F__)
  // xsimd 8.1 does not use the fma instruction of AVX-512. It multiplies, rounds and adds.
  if constexpr (kRegisterBytes<Arch, T> == 64 && std::is_same_v<T, float>) return _mm512_fmadd_ps(a, b, c);
  if constexpr (kRegisterBytes<Arch, T> == 64 && std::is_same_v<T, double>) return _mm512_fmadd_pd(a, b, c);
#endif
  return xsimd::fma(a, b, c);
}

/// a / b, rounded once. On AArch64, xsimd 8.1 only approximates the quotient, as 32-bit ARM has to.
template <class Arch, class T>
inline Batch<Arch, T> divide(const Batch<Arch, T>& a, const Batch<Arch, T>& b) noexcept {
#if defined(__aarch64__)
  if constexpr (std::is_same_v<T, float>) return vdivq_f32(a, b);
#endif
  return a / b;
}

/// Loads Batch<Arch, T>::size consecutive values of type S from any address and converts them to T. xsimd 8.1
/// converts float to double through memory, so this function uses the intrinsics for that conversion.
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

/// table[n] in each lane, where n is the lowest three bits of that lane of `index`.
template <class Arch>
inline Batch<Arch, float> lookup(const float (&table)[8], const Batch<Arch, float>& index) noexcept {
#if defined(__AVX512F__)
  if constexpr (kRegisterBytes<Arch, float> == 64) {
    const __m512 twice = _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_castps_pd(_mm256_load_ps(table))));
    return _mm512_permutexvar_ps(_mm512_castps_si512(index), twice);
  }
#endif
#if defined(__AVX2__)
  if constexpr (kRegisterBytes<Arch, float> == 32) {
    return _mm256_permutevar8x32_ps(_mm256_load_ps(table), _mm256_castps_si256(index));
  }
#endif
  constexpr std::size_t size = Batch<Arch, float>::size;
  alignas(64) float lanes[size];
  std::uint32_t bits[size];
  index.store_aligned(lanes);
  std::memcpy(bits, lanes, sizeof lanes);
  for (std::size_t i = 0; i < size; ++i) lanes[i] = table[bits[i] & 7U];
  return Batch<Arch, float>::load_aligned(lanes);
}

/// Reduces all lanes by combine(x, y), in registers. It combines lane i with lane i ^ Half and then repeats
/// this with Half / 2. The first Half is half the number of lanes.
template <class Arch, class T, std::size_t Half, std::size_t... I, class Combine>
inline T reduce_lanes(const Batch<Arch, T>& values, std::index_sequence<I...> all,
                      Combine&& combine) noexcept {
  const typename Batch<Arch, T>::register_type lanes = values;
  if constexpr (Half == 0) {
    return lanes[0];
  } else {
    const Batch<Arch, T> others = __builtin_shufflevector(lanes, lanes, (I ^ Half)...);
    return reduce_lanes<Arch, T, Half / 2>(combine(values, others), all, combine);
  }
}

template <class Arch, class T>
inline T sum_lanes(const Batch<Arch, T>& values) noexcept {
  constexpr std::size_t size = Batch<Arch, T>::size;
  return reduce_lanes<Arch, T, size / 2>(values, std::make_index_sequence<size>{},
                                         [](const auto& a, const auto& b) { return a + b; });
}

template <class Arch, class T>
inline T largest_lane(const Batch<Arch, T>& values) noexcept {
  constexpr std::size_t size = Batch<Arch, T>::size;
  return reduce_lanes<Arch, T, size / 2>(values, std::make_index_sequence<size>{},
                                         [](const auto& a, const auto& b) { return xsimd::max(a, b); });
}

/// The same values, kept in a register from here on. In code that uses all registers, GCC 12 would otherwise
/// read the values from memory at every use, and the tile would wait for these loads.
template <class Arch, class T>
inline Batch<Arch, T> in_register(const Batch<Arch, T>& values) noexcept {
  typename Batch<Arch, T>::register_type lanes = values;
#if defined(__AVX512F__)
  asm("" : "+v"(lanes));  // any of the 32 registers
#elif defined(__x86_64__)
  asm("" : "+x"(lanes));
#elif defined(__aarch64__)
  asm("" : "+w"(lanes));
#endif
  return lanes;
}

template <std::ptrdiff_t... I, class Function>
[[gnu::always_inline]] inline void unrolled(std::integer_sequence<std::ptrdiff_t, I...>,
                                            Function&& function) noexcept {
  (function(std::integral_constant<std::ptrdiff_t, I>{}), ...);
}

/// Calls function(0), ..., function(N - 1), each with a compile-time constant.
template <std::ptrdiff_t N, class Function>
[[gnu::always_inline]] inline void unrolled(Function&& function) noexcept {
  unrolled(std::make_integer_sequence<std::ptrdiff_t, N>{}, function);
}

/// Prefetches a cache line into the second-level cache, for reading. Any address is allowed.
[[gnu::always_inline]] inline void prefetch(const void* address) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(address, 0, 2);
#else
  static_cast<void>(address);
#endif
}

/// Prefetches all cache lines of `count` values.
template <class T>
[[gnu::always_inline]] inline void prefetch(const T* values, std::ptrdiff_t count) noexcept {
  constexpr auto kLine = static_cast<std::ptrdiff_t>(64 / sizeof(T));
  for (std::ptrdiff_t i = 0; i < count; i += kLine) prefetch(values + i);
  prefetch(values + count - 1);
}

// Entries: see kernels/entry.hpp.

/// Bytes of a vector register.
struct RegisterBytes {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> std::ptrdiff_t {
    return static_cast<std::ptrdiff_t>(kRegisterBytes<Arch, T>);
  }
};

}  // namespace vbp::simd
