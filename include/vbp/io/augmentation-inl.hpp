#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/io/augmentation.hpp"

namespace vbp::inline VBP_ABI::io {

VBP_FUNCTION void Augmentation::validate() const {
  if (!(min_area > 0.0 && min_area <= 1.0))
    throw_value_error({"the smallest area of a crop must lie in (0, 1]"});
  for (const double probability : {flip, erase}) {
    if (!(probability >= 0.0 && probability <= 1.0)) throw_value_error({"a probability must lie in [0, 1]"});
  }
  if (!(jitter >= 0.0 && jitter < 1.0)) throw_value_error({"the jitter of colours must lie in [0, 1)"});
}

namespace detail {

VBP_FUNCTION double uniform_between(double low, double high, Random& random) noexcept {
  return low + (high - low) * random.uniform();
}

VBP_FUNCTION Box random_box(Index width, Index height, std::pair<double, double> area,
                            std::pair<double, double> ratio, Random& random) noexcept {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double pixels =
        static_cast<double>(width * height) * uniform_between(area.first, area.second, random);
    const double aspect = std::exp(uniform_between(std::log(ratio.first), std::log(ratio.second), random));
    Box box;
    box.width = std::lround(std::sqrt(pixels * aspect));
    box.height = std::lround(std::sqrt(pixels / aspect));
    if (box.width < 1 || box.height < 1 || box.width > width || box.height > height) continue;
    box.left = static_cast<Index>(random.below(static_cast<std::uint64_t>(width - box.width + 1)));
    box.top = static_cast<Index>(random.below(static_cast<std::uint64_t>(height - box.height + 1)));
    return box;
  }
  return {};
}

VBP_FUNCTION Image crop(const Image& image, const Box& box) {
  Image out{box.width, box.height, {}};
  out.pixels.resize(static_cast<std::size_t>(3 * box.width * box.height));
  for (Index row = 0; row < box.height; ++row) {
    std::copy_n(image.pixels.data() + 3 * ((box.top + row) * image.width + box.left), 3 * box.width,
                out.pixels.data() + 3 * row * box.width);
  }
  return out;
}

VBP_FUNCTION std::uint8_t blend(double pixel, double other, double factor) noexcept {
  return static_cast<std::uint8_t>(std::clamp(std::lround(other + factor * (pixel - other)), 0L, 255L));
}

/// Luma after ITU-R 601, as PIL's convert("L").
VBP_FUNCTION double luma(const std::uint8_t* pixel) noexcept {
  return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
}

}  // namespace detail

VBP_FUNCTION Image random_resized_crop(const Image& image, Index size, double min_area,
                                       Interpolation interpolation, Random& random) {
  detail::check_image(image);
  detail::Box box =
      detail::random_box(image.width, image.height, {min_area, 1.0}, {3.0 / 4.0, 4.0 / 3.0}, random);
  if (box.width == 0) {
    const Index side = std::min(image.width, image.height);
    box = {(image.width - side) / 2, (image.height - side) / 2, side, side};
  }
  return resize(detail::crop(image, box), size, size, interpolation);
}

VBP_FUNCTION void flip(Image& image) {
  detail::check_image(image);
  for (Index row = 0; row < image.height; ++row) {
    std::uint8_t* const pixels = image.pixels.data() + 3 * row * image.width;
    for (Index i = 0, j = image.width - 1; i < j; ++i, --j) {
      std::swap_ranges(pixels + 3 * i, pixels + 3 * i + 3, pixels + 3 * j);
    }
  }
}

VBP_FUNCTION void jitter_colours(Image& image, double jitter, Random& random) {
  detail::check_image(image);
  const double brightness = detail::uniform_between(1.0 - jitter, 1.0 + jitter, random);
  const double contrast = detail::uniform_between(1.0 - jitter, 1.0 + jitter, random);
  const double saturation = detail::uniform_between(1.0 - jitter, 1.0 + jitter, random);
  double mean = 0.0;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    std::uint8_t* const pixel = image.pixels.data() + i;
    for (int c = 0; c < 3; ++c) pixel[c] = detail::blend(pixel[c], 0.0, brightness);
    mean += detail::luma(pixel);
  }
  mean /= static_cast<double>(image.width * image.height);
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    std::uint8_t* const pixel = image.pixels.data() + i;
    for (int c = 0; c < 3; ++c) pixel[c] = detail::blend(pixel[c], mean, contrast);
    const double grey = detail::luma(pixel);
    for (int c = 0; c < 3; ++c) pixel[c] = detail::blend(pixel[c], grey, saturation);
  }
}

VBP_FUNCTION void erase_rectangle(std::span<float> input, Index size, Random& random) {
  const detail::Box box = detail::random_box(size, size, {0.02, 1.0 / 3.0}, {0.3, 1.0 / 0.3}, random);
  for (Index channel = 0; channel < 3; ++channel) {
    for (Index row = box.top; row < box.top + box.height; ++row) {
      std::fill_n(input.data() + (channel * size + row) * size + box.left, box.width, 0.0F);
    }
  }
}

VBP_FUNCTION void training_transform(const Image& image, const Preprocessing& preprocessing,
                                     const Augmentation& augmentation, Random& random, std::span<float> out) {
  const Index size = preprocessing.image_size;
  Image seen = augmentation.min_area < 1.0 ? random_resized_crop(image, size, augmentation.min_area,
                                                                 preprocessing.interpolation, random)
                                           : evaluation_crop(image, preprocessing);
  if (random.uniform() < augmentation.flip) flip(seen);
  if (augmentation.jitter > 0.0) jitter_colours(seen, augmentation.jitter, random);
  normalise(seen, preprocessing, out);
  if (random.uniform() < augmentation.erase) erase_rectangle(out, size, random);
}

}  // namespace vbp::inline VBP_ABI::io
