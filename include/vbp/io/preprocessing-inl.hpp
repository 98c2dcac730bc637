#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"
#include "vbp/core/text.hpp"
#include "vbp/io/preprocessing.hpp"

namespace vbp::inline VBP_ABI::io {

VBP_FUNCTION std::string_view name_of(Interpolation interpolation) noexcept {
  switch (interpolation) {
    case Interpolation::bilinear:
      return "bilinear";
    case Interpolation::bicubic:
      return "bicubic";
    case Interpolation::lanczos:
      return "lanczos";
  }
  return "";
}

VBP_FUNCTION std::string_view name_of(CropMode mode) noexcept {
  return mode == CropMode::center ? "center" : "squash";
}

VBP_FUNCTION Interpolation parse_interpolation(std::string_view text) {
  for (const auto value : {Interpolation::bilinear, Interpolation::bicubic, Interpolation::lanczos}) {
    if (text == name_of(value)) return value;
  }
  throw_value_error({"interpolation \"", text, "\" is not one of bilinear, bicubic, lanczos"});
}

VBP_FUNCTION CropMode parse_crop_mode(std::string_view text) {
  for (const auto value : {CropMode::center, CropMode::squash}) {
    if (text == name_of(value)) return value;
  }
  throw_value_error({"crop mode \"", text, "\" is not one of center, squash"});
}

namespace detail {

VBP_FUNCTION void append_triple(std::string& text, const std::array<double, 3>& values) {
  for (std::size_t i = 0; i < 3; ++i) {
    text += i == 0 ? "[" : ",";
    text += shortest_text(values[i]);
  }
  text += "]";
}

}  // namespace detail

VBP_FUNCTION std::string Preprocessing::to_string() const {
  std::string text = "{\"image_size\":";
  text += std::to_string(image_size);
  text += ",\"crop_pct\":";
  text += shortest_text(crop_pct);
  text += ",\"interpolation\":\"";
  text += name_of(interpolation);
  text += "\",\"crop_mode\":\"";
  text += name_of(crop_mode);
  text += "\",\"mean\":";
  detail::append_triple(text, mean);
  text += ",\"std\":";
  detail::append_triple(text, std);
  text += "}";
  return text;
}

VBP_FUNCTION void validate(const Preprocessing& preprocessing) {
  // Far above any vision transformer's input, and low enough that no size computed from it overflows.
  constexpr Index kLargest = 16384;
  const auto& p = preprocessing;
  if (p.image_size < 1 || p.image_size > kLargest) {
    throw_value_error({"image size ", p.image_size, " is not between 1 and ", kLargest});
  }
  if (!(p.crop_pct > 0.0 && p.crop_pct <= 1.0)) {
    throw_value_error({"crop_pct ", shortest_text(p.crop_pct), " is not above 0 and at most 1"});
  }
  if (static_cast<double>(p.image_size) / p.crop_pct > 1e6) {
    throw_value_error(
        {"crop_pct ", shortest_text(p.crop_pct), " is too small for image size ", p.image_size});
  }
  for (std::size_t channel = 0; channel < 3; ++channel) {
    if (!std::isfinite(p.mean[channel])) throw_value_error({"preprocessing mean is not finite"});
    if (!(std::isfinite(p.std[channel]) && p.std[channel] > 0.0)) {
      throw_value_error({"preprocessing std ", shortest_text(p.std[channel]), " is not positive and finite"});
    }
  }
}

namespace detail {

/// Half the width of a filter's support, in samples of the coarser grid.
VBP_FUNCTION double filter_support(Interpolation interpolation) noexcept {
  switch (interpolation) {
    case Interpolation::bilinear:
      return 1.0;
    case Interpolation::bicubic:
      return 2.0;
    case Interpolation::lanczos:
      return 3.0;
  }
  return 0.0;
}

/// The filter's weight at a distance from its centre: triangle; Keys' cubic with a = -0.5; sinc windowed by
/// sinc(x / 3).
VBP_FUNCTION double filter_weight(Interpolation interpolation, double distance) noexcept {
  const double x = std::abs(distance);
  if (x >= filter_support(interpolation)) return 0.0;
  switch (interpolation) {
    case Interpolation::bilinear:
      return 1.0 - x;
    case Interpolation::bicubic: {
      constexpr double a = -0.5;
      if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
      return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    }
    case Interpolation::lanczos: {
      if (x == 0.0) return 1.0;
      const double angle = std::numbers::pi * x;
      return std::sin(angle) / angle * (std::sin(angle / 3.0) / (angle / 3.0));
    }
  }
  return 0.0;
}

// PIL's fixed point: 8 bits for the sample and 2 of headroom for overshoot leave 22 for the weight's
// fraction.
inline constexpr int kFractionBits = 32 - 8 - 2;

/// The weights of output samples [begin, begin + count) of one axis: sample i reads `length[i]` inputs from
/// `first[i]` on, with fixed-point weights from `weights[i * stride]` on.
struct AxisWeights {
  Index stride = 0;
  std::vector<Index> first;
  std::vector<Index> length;
  std::vector<std::int32_t> weights;
};

VBP_FUNCTION AxisWeights axis_weights(Index from, Index to, Index begin, Index count,
                                      Interpolation interpolation) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  // Shrinking stretches the filter over all inputs that fall on an output: this is the antialiasing.
  const double stretch = std::max(scale, 1.0);
  const double support = filter_support(interpolation) * stretch;
  AxisWeights axis;
  axis.stride = std::min(from, static_cast<Index>(std::ceil(support)) * 2 + 1);
  const auto samples = static_cast<std::size_t>(count);
  axis.first.resize(samples);
  axis.length.resize(samples);
  axis.weights.assign(samples * static_cast<std::size_t>(axis.stride), 0);
  std::vector<double> real(static_cast<std::size_t>(axis.stride));
  for (std::size_t i = 0; i < samples; ++i) {
    const double center = (static_cast<double>(begin) + static_cast<double>(i) + 0.5) * scale;
    const Index first = std::max(static_cast<Index>(center - support + 0.5), Index{0});
    const Index last = std::min(static_cast<Index>(center + support + 0.5), from);
    const auto length = static_cast<std::size_t>(last - first);
    double sum = 0.0;
    for (std::size_t k = 0; k < length; ++k) {
      const double position = static_cast<double>(first) + static_cast<double>(k) + 0.5;
      real[k] = filter_weight(interpolation, (position - center) * (1.0 / stretch));
      sum += real[k];
    }
    axis.first[i] = first;
    axis.length[i] = last - first;
    std::int32_t* fixed = axis.weights.data() + i * static_cast<std::size_t>(axis.stride);
    for (std::size_t k = 0; k < length; ++k) {
      const double weight = real[k] / sum * static_cast<double>(1 << kFractionBits);
      fixed[k] = static_cast<std::int32_t>(weight + (weight < 0.0 ? -0.5 : 0.5));
    }
  }
  return axis;
}

VBP_FUNCTION std::uint8_t from_fixed(std::int32_t sum) noexcept {
  return static_cast<std::uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

inline constexpr std::int32_t kHalf = 1 << (kFractionBits - 1);

/// A band of an image that lies between the two passes; its first column and row are those of the whole.
struct Band {
  Index first_column = 0;
  Index first_row = 0;
  Index columns = 0;
  Index rows = 0;
  const std::uint8_t* pixels = nullptr;
  Index stride = 0;  // bytes from one row to the next
};

/// Every row of the band, resampled to `across.first.size()` pixels.
VBP_FUNCTION std::vector<std::uint8_t> resample_across(const Band& in, const AxisWeights& across) {
  const std::size_t width = across.first.size();
  std::vector<std::uint8_t> out(static_cast<std::size_t>(in.rows) * width * 3);
  std::uint8_t* to = out.data();
  for (Index row = 0; row < in.rows; ++row) {
    const std::uint8_t* from = in.pixels + row * in.stride;
    for (std::size_t i = 0; i < width; ++i, to += 3) {
      const std::uint8_t* pixel = from + 3 * (across.first[i] - in.first_column);
      const std::int32_t* weight = across.weights.data() + i * static_cast<std::size_t>(across.stride);
      std::int32_t red = kHalf;
      std::int32_t green = kHalf;
      std::int32_t blue = kHalf;
      for (Index k = 0; k < across.length[i]; ++k, pixel += 3) {
        red += pixel[0] * weight[k];
        green += pixel[1] * weight[k];
        blue += pixel[2] * weight[k];
      }
      to[0] = from_fixed(red);
      to[1] = from_fixed(green);
      to[2] = from_fixed(blue);
    }
  }
  return out;
}

/// Every column of the band, resampled to `down.first.size()` pixels; whole rows at a time, so that it
/// vectorises.
VBP_FUNCTION std::vector<std::uint8_t> resample_down(const Band& in, const AxisWeights& down) {
  const auto row_bytes = static_cast<std::size_t>(3 * in.columns);
  std::vector<std::uint8_t> out(down.first.size() * row_bytes);
  std::vector<std::int32_t> sums(row_bytes);
  for (std::size_t i = 0; i < down.first.size(); ++i) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const std::uint8_t* from = in.pixels + (down.first[i] - in.first_row) * in.stride;
    const std::int32_t* weights = down.weights.data() + i * static_cast<std::size_t>(down.stride);
    for (Index k = 0; k < down.length[i]; ++k, from += in.stride) {
      const std::int32_t weight = weights[k];
      for (std::size_t j = 0; j < row_bytes; ++j) sums[j] += from[j] * weight;
    }
    std::uint8_t* to = out.data() + i * row_bytes;
    for (std::size_t j = 0; j < row_bytes; ++j) to[j] = from_fixed(sums[j]);
  }
  return out;
}

/// The rectangle [left, left + width) x [top, top + height) of the image resized to to_width x to_height,
/// without computing the rest: what lies outside a crop would cost time, and for a strip-shaped image memory
/// without bound.
VBP_FUNCTION Image resize_region(const Image& image, Index to_width, Index to_height, Index left, Index top,
                                 Index width, Index height, Interpolation interpolation) {
  const AxisWeights across = axis_weights(image.width, to_width, left, width, interpolation);
  const AxisWeights down = axis_weights(image.height, to_height, top, height, interpolation);
  // Only the pixels that some output reads. Where a side keeps its length the weights are exactly one and
  // zero, so no pass needs to be left out.
  Band band;
  band.first_column = across.first.front();
  band.first_row = down.first.front();
  band.columns = across.first.back() + across.length.back() - band.first_column;
  band.rows = down.first.back() + down.length.back() - band.first_row;
  band.stride = 3 * image.width;
  band.pixels = image.pixels.data() + band.first_row * band.stride + 3 * band.first_column;
  Image out{width, height, {}};
  // The 8-bit rounding between the passes makes their order matter. Pillow goes across first, and since
  // version 13 down first where that takes away more than twice as many rows as columns.
  const bool down_first = to_height < image.height && image.height - to_height > 2 * (image.width - to_width);
  if (down_first) {
    const std::vector<std::uint8_t> between = resample_down(band, down);
    band.rows = height;
    band.stride = 3 * band.columns;
    band.pixels = between.data();
    out.pixels = resample_across(band, across);
  } else {
    const std::vector<std::uint8_t> between = resample_across(band, across);
    band.columns = width;
    band.stride = 3 * width;
    band.pixels = between.data();
    out.pixels = resample_down(band, down);
  }
  return out;
}

VBP_FUNCTION void check_image(const Image& image) {
  if (image.width < 1 || image.height < 1 ||
      image.pixels.size() !=
          static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3) {
    throw_shape_error(
        {"image of ", image.width, " x ", image.height, " pixels holds ", image.pixels.size(), " bytes"});
  }
}

/// Half of a non-negative number, ties to even as Python's round(): where torchvision's centre crop begins.
VBP_FUNCTION Index half_to_even(Index value) noexcept {
  const Index half = value / 2;
  return value % 2 == 0 ? half : half + half % 2;
}

}  // namespace detail

VBP_FUNCTION Image resize(const Image& image, Index width, Index height, Interpolation interpolation) {
  detail::check_image(image);
  if (width < 1 || height < 1) {
    throw_shape_error({"cannot resize an image to ", width, " x ", height});
  }
  if (width == image.width && height == image.height) return image;
  return detail::resize_region(image, width, height, 0, 0, width, height, interpolation);
}

VBP_FUNCTION void normalise(const Image& image, const Preprocessing& preprocessing, std::span<float> out) {
  detail::check_image(image);
  const auto plane = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
  if (out.size() != 3 * plane) {
    throw_shape_error({"a network input of ", 3 * plane, " values cannot be written to ", out.size()});
  }
  for (std::size_t channel = 0; channel < 3; ++channel) {
    // In float and in PyTorch's order, so that the result is PyTorch's to the last bit.
    std::array<float, 256> value;
    for (std::size_t level = 0; level < value.size(); ++level) {
      value[level] = (static_cast<float>(level) / 255.0F - static_cast<float>(preprocessing.mean[channel])) /
                     static_cast<float>(preprocessing.std[channel]);
    }
    const std::uint8_t* in = image.pixels.data() + channel;
    float* to = out.data() + channel * plane;
    for (std::size_t i = 0; i < plane; ++i) to[i] = value[in[3 * i]];
  }
}

VBP_FUNCTION Image evaluation_crop(const Image& image, const Preprocessing& preprocessing) {
  validate(preprocessing);
  detail::check_image(image);
  const Index size = preprocessing.image_size;
  const auto scaled = static_cast<Index>(std::floor(static_cast<double>(size) / preprocessing.crop_pct));
  Index width = scaled;
  Index height = scaled;
  if (preprocessing.crop_mode == CropMode::center) {
    const auto longer = [scaled](Index long_side, Index short_side) {
      return static_cast<Index>(static_cast<double>(scaled * long_side) / static_cast<double>(short_side));
    };
    if (image.width <= image.height) {
      height = longer(image.height, image.width);
    } else {
      width = longer(image.width, image.height);
    }
  }
  return detail::resize_region(image, width, height, detail::half_to_even(width - size),
                               detail::half_to_even(height - size), size, size, preprocessing.interpolation);
}

VBP_FUNCTION void evaluation_transform(const Image& image, const Preprocessing& preprocessing,
                                       std::span<float> out) {
  validate(preprocessing);
  const auto size = static_cast<std::size_t>(preprocessing.image_size);
  // Before the work of resizing, and before anything is written.
  if (out.size() != 3 * size * size) {
    throw_shape_error({"a network input of ", 3 * size * size, " values cannot be written to ", out.size()});
  }
  normalise(evaluation_crop(image, preprocessing), preprocessing, out);
}

}  // namespace vbp::inline VBP_ABI::io
