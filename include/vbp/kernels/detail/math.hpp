#pragma once
/// Vectorised exp and GELU. In float they use their own polynomials, whose coefficients
/// tests/golden/make_activation_coefficients.py computes. Double only serves to verify results, so it uses
/// the standard library.

#include <cmath>

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

/// Applies a scalar function to each lane.
template <class Arch, class T, class Function>
inline Batch<Arch, T> by_lane(const Batch<Arch, T>& x, Function&& function) noexcept {
  alignas(64) T lanes[Batch<Arch, T>::size];
  x.store_aligned(lanes);
  for (T& lane : lanes) lane = function(lane);
  return Batch<Arch, T>::load_aligned(lanes);
}

/// c[0] + x c[1] + ... + x^(N-1) c[N-1] by Horner's rule.
template <class Arch, std::size_t N>
inline Batch<Arch, float> polynomial(const Batch<Arch, float>& x, const float (&c)[N]) noexcept {
  Batch<Arch, float> sum(c[N - 1]);
  for (std::size_t i = N - 1; i-- > 0;) sum = multiply_add<Arch, float>(sum, x, Batch<Arch, float>(c[i]));
  return sum;
}

/// e^x with a relative error below 2e-7 for x in [-87, 88]. Smaller x gives e^-87 (1.6e-38), larger x gives
/// e^88.
template <class Arch, class T>
inline Batch<Arch, T> exponential(const Batch<Arch, T>& x) noexcept {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<Arch, T>(x, [](double lane) { return std::exp(lane); });
  } else {
    using F = Batch<Arch, float>;
    using I = Batch<Arch, std::int32_t>;
    static constexpr float kExp[] = {4.999999345e-01F, 1.666652069e-01F, 4.166838731e-02F, 8.368709906e-03F,
                                     1.381461719e-03F};
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits of the sum.
    constexpr float rounding = 12582912.0F;
    // ln(2) in two parts. The first has so few bits that its product with n is exact.
    constexpr float ln2_high = 0.693359375F;
    constexpr float ln2_low = -2.12194440e-4F;
    const F clamped = xsimd::min(xsimd::max(x, F(-87.0F)), F(88.0F));
    const F shifted = multiply_add<Arch, float>(clamped, F(1.44269504F), F(rounding));
    const F n = shifted - F(rounding);
    F r = multiply_add<Arch, float>(n, F(-ln2_high), clamped);
    r = multiply_add<Arch, float>(n, F(-ln2_low), r);
    const F tail = polynomial<Arch>(r, kExp);
    const F power = multiply_add<Arch, float>(r * r, tail, r) + F(1.0F);
    // Adds n to the exponent bits, which multiplies by 2^n. `power` lies in [0.7, 1.42], so nothing
    // overflows.
    const I exponent = xsimd::bitwise_cast<I>(shifted) << 23;
    return xsimd::bitwise_cast<F>(xsimd::bitwise_cast<I>(power) + exponent);
  }
}

/// 2^x with a relative error below 2e-7 for x in [-126, 0]; smaller x gives 2^-126. x must not be positive.
/// Softmax uses this function: it is faster than exponential(), because it needs neither an upper limit nor
/// ln(2) in two parts.
template <class Arch, class T>
inline Batch<Arch, T> power_of_two(const Batch<Arch, T>& x) noexcept {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<Arch, T>(x, [](double lane) { return std::exp2(lane); });
  } else {
    using F = Batch<Arch, float>;
    using I = Batch<Arch, std::int32_t>;
    static constexpr float kPower[] = {
        1.0F, 6.931469776e-01F, 2.402224208e-01F, 5.550733749e-02F, 9.671513011e-03F, 1.326472626e-03F};
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits of the sum.
    constexpr float rounding = 12582912.0F;
    // With the operands in this order, max returns NaN for a NaN.
    const F clamped = xsimd::max(F(-126.0F), x);
    const F shifted = clamped + F(rounding);
    const F power = polynomial<Arch>(clamped - (shifted - F(rounding)), kPower);
    const I exponent = xsimd::bitwise_cast<I>(shifted) << 23;
    return xsimd::bitwise_cast<F>(xsimd::bitwise_cast<I>(power) + exponent);
  }
}

/// GELU(x) = x Phi(x) (Hendrycks and Gimpel 2016), computed as max(x, 0) - |x| Phi(-|x|), because the second
/// term is small and smooth. One of eight polynomials approximates Phi(-|x|). One permutation looks up each
/// coefficient in a table of eight. In float the absolute error is below 1e-7, or 2 units in the last place
/// where x > 2; below -5.6 the result is -6e-8.
template <class Arch, class T>
inline Batch<Arch, T> gelu(const Batch<Arch, T>& x) noexcept {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<Arch, T>(
        x, [](double lane) { return 0.5 * lane * std::erfc(-lane * 0.70710678118654752440); });
  } else {
    using F = Batch<Arch, float>;
    alignas(32) static constexpr float kTail[7][8] = {
        {5.000000027e-01F, 2.276324015e-01F, 6.767497833e-02F, 1.254546058e-02F, 1.410185359e-03F,
         9.448117529e-05F, 3.732146979e-06F, 8.629500859e-08F},
        {-2.978770441e-01F, -2.254109121e-01F, -9.767633747e-02F, -2.423694384e-02F, -3.443834873e-03F,
         -2.802185119e-04F, -1.305812037e-05F, -3.485596935e-07F},
        {2.464406094e-06F, 6.283418460e-02F, 5.445551608e-02F, 2.026866236e-02F, 3.839961941e-03F,
         3.905495741e-04F, 2.183720774e-05F, 6.798978951e-07F},
        {2.765788185e-02F, 9.269875344e-03F, -1.115988331e-02F, -9.049670723e-03F, -2.535079034e-03F,
         -3.366518660e-04F, -2.306199043e-05F, -8.447264787e-07F},
        {9.059251148e-05F, -7.125395285e-03F, -1.947902953e-03F, 1.899039191e-03F, 1.056463600e-03F,
         1.985070106e-04F, 1.729742302e-05F, 7.642403844e-07F},
        {-2.537050898e-03F, 2.448234383e-06F, 1.336340392e-03F, 1.354864880e-04F, -2.540177440e-04F,
         -8.415137908e-05F, -1.023247850e-05F, -5.844112985e-07F},
        {2.863357217e-04F, 5.068272310e-04F, -1.047893917e-04F, -1.716788909e-04F, 1.578539461e-05F,
         2.343194297e-05F, 4.237007881e-06F, 3.092208150e-07F},
    };
    // Polynomial n is used for |x| near n 5.6 / 7.5. The limit is slightly below 5.6, so that n is never 8.
    constexpr float limit = 5.599F;
    constexpr float per_unit = 7.5F / 5.6F;
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits of the sum.
    constexpr float rounding = 12582912.0F;
    const F a = xsimd::min(xsimd::abs(x), F(limit));
    const F shifted = multiply_add<Arch, float>(a, F(per_unit), F(rounding));
    const F r = multiply_add<Arch, float>(a, F(per_unit), F(rounding) - shifted);
    const auto table = [&](std::size_t power) { return lookup<Arch>(kTail[power], shifted); };
    F tail = table(6);
    for (std::size_t power = 6; power-- > 0;) tail = multiply_add<Arch, float>(tail, r, table(power));
    // With the operands in this order, max returns NaN for a NaN.
    return multiply_add<Arch, float>(-a, tail, xsimd::max(F(0.0F), x));
  }
}

/// The tanh approximation of GELU, 0.5 x (1 + tanh(s (x + 0.044715 x^3))) with s = sqrt(2 / pi), computed as
/// x / (1 + exp(-2 s (x + 0.044715 x^3))). In float the error bound is 2e-7, or 2 units in the last place
/// where x > 2.
template <class Arch, class T>
inline Batch<Arch, T> gelu_tanh(const Batch<Arch, T>& x) noexcept {
  using B = Batch<Arch, T>;
  constexpr T twice_s = T(1.5957691216057307118);
  // Below -40 the result is zero up to rounding. A huge |x| has to be limited, because the divisor is limited
  // and the quotient would grow with |x|. With x as the second operand, max returns NaN for a NaN.
  const B clipped = xsimd::max(B(T(-40)), x);
  const B inner = clipped * multiply_add<Arch, T>(clipped * clipped, B(T(-0.044715) * twice_s), B(-twice_s));
  return divide<Arch, T>(clipped, B(T(1)) + exponential<Arch, T>(inner));
}

/// out[i] = function(x[i]), one vector at a time.
template <class Arch, class T, class Function>
inline void map(const T* x, std::ptrdiff_t size, T* out, Function&& function) noexcept {
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

template <class Arch, class T>
void gelu(const T* x, std::ptrdiff_t size, T* out) noexcept {
  map<Arch>(x, size, out, [](const auto& v) { return gelu<Arch, T>(v); });
}

template <class Arch, class T>
void gelu_tanh(const T* x, std::ptrdiff_t size, T* out) noexcept {
  map<Arch>(x, size, out, [](const auto& v) { return gelu_tanh<Arch, T>(v); });
}

// Entries: see kernels/entry.hpp.

struct Gelu {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> void (*)(const T*, std::ptrdiff_t, T*) noexcept {
    return &gelu<Arch, T>;
  }
};

struct GeluTanh {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> void (*)(const T*, std::ptrdiff_t, T*) noexcept {
    return &gelu_tanh<Arch, T>;
  }
};

}  // namespace vbp::simd
