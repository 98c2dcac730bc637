#pragma once
/// Vector exp and GELU. float has polynomials of its own (coefficients by
/// tests/golden/make_activation_coefficients.py); double, which only proves results, uses the standard
/// library.

#include <cmath>

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::kernels::detail {

/// Applies a scalar function lane by lane.
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

/// e^x, relative error below 2e-7 for x in [-87, 88]; below it flushes to e^-87 (1.6e-38), above to e^88.
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
    // ln(2) in two parts, the first with so few bits that n times it is exact.
    constexpr float ln2_high = 0.693359375F;
    constexpr float ln2_low = -2.12194440e-4F;
    const F clamped = xsimd::min(xsimd::max(x, F(-87.0F)), F(88.0F));
    const F shifted = multiply_add<Arch, float>(clamped, F(1.44269504F), F(rounding));
    const F n = shifted - F(rounding);
    F r = multiply_add<Arch, float>(n, F(-ln2_high), clamped);
    r = multiply_add<Arch, float>(n, F(-ln2_low), r);
    const F tail = polynomial<Arch>(r, kExp);
    const F power = multiply_add<Arch, float>(r * r, tail, r) + F(1.0F);
    // 2^n is added to the exponent bits: power lies in [0.7, 1.42], so nothing overflows.
    const I exponent = xsimd::bitwise_cast<I>(shifted) << 23;
    return xsimd::bitwise_cast<F>(xsimd::bitwise_cast<I>(power) + exponent);
  }
}

/// GELU(x) = x Phi(x) (Hendrycks and Gimpel 2016), as max(x, 0) - |x| Phi(-|x|), since the second term is
/// small and smooth. float: the error is below 2e-7, or 2 units in the last place where x > 2.
template <class Arch, class T>
inline Batch<Arch, T> gelu(const Batch<Arch, T>& x) noexcept {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<Arch, T>(
        x, [](double lane) { return 0.5 * lane * std::erfc(-lane * 0.70710678118654752440); });
  } else {
    using F = Batch<Arch, float>;
    static constexpr float kTail[] = {1.358358228e-01F,  -1.112390283e-01F, 8.469678163e-02F,
                                      -6.073500799e-02F, 4.274925048e-02F,  -2.447219836e-02F,
                                      1.218520025e-02F,  -2.354454464e-02F, 2.023818442e-03F,
                                      1.158936775e-02F,  1.410438094e-02F};
    constexpr float limit = 5.25F;
    const F magnitude = xsimd::abs(x);
    // Beyond the limit |x| R(|x|) is nearly constant and gauss vanishes, though not to zero: a huge |x| as a
    // factor would bring it back.
    const F clipped = xsimd::min(magnitude, F(limit));
    const F u = multiply_add<Arch, float>(clipped, F(2.0F / limit), F(-1.0F));
    const F gauss = exponential<Arch, float>(magnitude * magnitude * F(-0.5F));
    // With x as the second operand a NaN stays one.
    return xsimd::max(F(0.0F), x) - clipped * gauss * polynomial<Arch>(u, kTail);
  }
}

/// The tanh approximation 0.5 x (1 + tanh(s (x + 0.044715 x^3))), s = sqrt(2 / pi), which equals
/// x / (1 + exp(-2 s (x + 0.044715 x^3))). float: the error is bounded as in gelu.
template <class Arch, class T>
inline Batch<Arch, T> gelu_tanh(const Batch<Arch, T>& x) noexcept {
  using B = Batch<Arch, T>;
  constexpr T twice_s = T(1.5957691216057307118);
  // From here on downwards the result is zero in all but name, but a huge x would outgrow the largest
  // divisor. With x as the second operand a NaN stays one.
  const B clipped = xsimd::max(B(T(-40)), x);
  const B inner = clipped * multiply_add<Arch, T>(clipped * clipped, B(T(-0.044715) * twice_s), B(-twice_s));
  return clipped / (B(T(1)) + exponential<Arch, T>(inner));
}

}  // namespace vbp::kernels::detail
