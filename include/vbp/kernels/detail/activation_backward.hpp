#pragma once
/// GELU together with its derivative. The script tests/golden/make_activation_coefficients.py computes the
/// coefficients.

#include <cmath>

#include "vbp/kernels/detail/math.hpp"

namespace vbp::simd {

/// An activation's value and its derivative at the same point.
template <class Arch, class T>
struct ValueAndSlope {
  Batch<Arch, T> value;
  Batch<Arch, T> slope;
};

/// x Phi(x) and its derivative Phi(x) + x phi(x). Phi(-a) is computed as exp(-a^2 / 2) R(a), where the
/// polynomial R minimises the absolute error of that product, 7e-8. The absolute error counts because the
/// derivative contains Phi without a factor of a. In float, value and derivative are within 3e-7.
template <class Arch, class T>
inline ValueAndSlope<Arch, T> gelu_with_slope(const Batch<Arch, T>& x) noexcept {
  using B = Batch<Arch, T>;
  constexpr T inverse_root_two_pi = T(0.39894228040143267794);
  if constexpr (std::is_same_v<T, double>) {
    const B phi =
        by_lane<Arch, T>(x, [](double lane) { return 0.5 * std::erfc(-lane * 0.70710678118654752440); });
    const B gauss = exponential<Arch, T>(x * x * B(T(-0.5)));
    return {x * phi, multiply_add<Arch, T>(x * B(inverse_root_two_pi), gauss, phi)};
  } else {
    static constexpr float kTail[] = {1.358336717e-01F,  -1.112553356e-01F, 8.484643191e-02F,
                                      -5.954851001e-02F, 4.379790544e-02F,  -3.226642775e-02F,
                                      -6.774131685e-03F, -2.764687790e-02F, 3.134996865e-02F,
                                      4.511838815e-02F,  2.534732504e-02F};
    constexpr float limit = 5.25F;
    const B magnitude = xsimd::abs(x);
    const B u = multiply_add<Arch, float>(xsimd::min(magnitude, B(limit)), B(2.0F / limit), B(-1.0F));
    const B gauss = exponential<Arch, float>(magnitude * magnitude * B(-0.5F));
    const B tail = gauss * polynomial<Arch>(u, kTail);
    const B phi = xsimd::select(x > B(0.0F), B(1.0F) - tail, tail);
    const B value = xsimd::max(x, B(0.0F)) - magnitude * tail;
    return {value, multiply_add<Arch, float>(x * B(inverse_root_two_pi), gauss, phi)};
  }
}

/// The tanh approximation of GELU, x s(t), where s is the logistic function and t = 2 sqrt(2 / pi) (x +
/// 0.044715 x^3), and its derivative s + x s (1 - s) t'.
template <class Arch, class T>
inline ValueAndSlope<Arch, T> gelu_tanh_with_slope(const Batch<Arch, T>& x) noexcept {
  using B = Batch<Arch, T>;
  constexpr T twice_s = T(1.5957691216057307118);
  const B square = x * x;
  const B minus_t = x * multiply_add<Arch, T>(square, B(T(-0.044715) * twice_s), B(-twice_s));
  // The exponent is limited, because infinity times s = 0 would give NaN. e^-88 is negligible beside 1 in
  // float and in double.
  const B power = exponential<Arch, T>(xsimd::min(minus_t, B(T(88))));
  const B logistic = divide<Arch, T>(B(T(1)), B(T(1)) + power);
  const B value = x * logistic;
  const B inner = multiply_add<Arch, T>(square, B(T(3 * 0.044715) * twice_s), B(twice_s));
  // 1 - s equals s e^-t. Subtracting s from 1 would lose all digits for large x.
  return {value, multiply_add<Arch, T>(value * (logistic * power), inner, logistic)};
}

/// Sets hidden = f(x) and gradient *= f'(x), elementwise. `function` returns f and f'.
template <class Arch, class T, class Function>
void activation_backward(const T* x, std::ptrdiff_t size, T* hidden, T* gradient,
                         Function&& function) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const auto step = [&](const T* from, T* value, T* slope) noexcept {
    const ValueAndSlope<Arch, T> both = function(B::load_unaligned(from));
    both.value.store_unaligned(value);
    (B::load_unaligned(slope) * both.slope).store_unaligned(slope);
  };
  const std::ptrdiff_t whole = size / lanes * lanes;
  for (std::ptrdiff_t i = 0; i < whole; i += lanes) step(x + i, hidden + i, gradient + i);
  if (whole == size) return;
  alignas(64) T rest[3][B::size] = {};
  for (std::ptrdiff_t j = whole; j < size; ++j) {
    rest[0][j - whole] = x[j];
    rest[2][j - whole] = gradient[j];
  }
  step(rest[0], rest[1], rest[2]);
  for (std::ptrdiff_t j = whole; j < size; ++j) {
    hidden[j] = rest[1][j - whole];
    gradient[j] = rest[2][j - whole];
  }
}

template <class Arch, class T>
void gelu_backward(const T* x, std::ptrdiff_t size, T* hidden, T* gradient) noexcept {
  activation_backward<Arch, T>(x, size, hidden, gradient,
                               [](const Batch<Arch, T>& v) { return gelu_with_slope<Arch, T>(v); });
}

template <class Arch, class T>
void gelu_tanh_backward(const T* x, std::ptrdiff_t size, T* hidden, T* gradient) noexcept {
  activation_backward<Arch, T>(x, size, hidden, gradient,
                               [](const Batch<Arch, T>& v) { return gelu_tanh_with_slope<Arch, T>(v); });
}

// Entries: see kernels/entry.hpp.

struct GeluBackward {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&gelu_backward<Arch, T>) {
    return &gelu_backward<Arch, T>;
  }
};

struct GeluTanhBackward {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&gelu_tanh_backward<Arch, T>) {
    return &gelu_tanh_backward<Arch, T>;
  }
};

}  // namespace vbp::simd
