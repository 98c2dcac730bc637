#pragma once
/// Handwriting varies: digits are turned, scaled and moved a little, so that training does not memorise them.

#include <cmath>

#include "vbp/core/random.hpp"

/// A digit of 8x8 pixels turned by about 6 degrees, scaled by about 8 % and moved by about a third of a
/// pixel, with bilinear interpolation. Pixels outside of the image are background, -1.
inline void distort(const float* from, vbp::Random& random, float* to) {
  constexpr int size = 8;
  constexpr double centre = (size - 1) / 2.0;
  const double angle = 0.1 * random.normal();
  const double scale = 1.0 + 0.08 * random.normal();
  const double cosine = scale * std::cos(angle);
  const double sine = scale * std::sin(angle);
  const double across = centre + 0.35 * random.normal();
  const double down = centre + 0.35 * random.normal();
  const auto pixel = [&](int row, int column) {
    const bool inside = row >= 0 && row < size && column >= 0 && column < size;
    return inside ? static_cast<double>(from[row * size + column]) : -1.0;
  };
  for (int i = 0; i < size * size; ++i) {
    const double x = i % size - centre;
    const double y = i / size - centre;
    const double column = cosine * x - sine * y + across;
    const double row = sine * x + cosine * y + down;
    const int left = static_cast<int>(std::floor(column));
    const int top = static_cast<int>(std::floor(row));
    const double right = column - left;
    const double upper = (1.0 - right) * pixel(top, left) + right * pixel(top, left + 1);
    const double lower = (1.0 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1);
    to[i] = static_cast<float>(upper + (row - top) * (lower - upper));
  }
}
