#include "vbp/io/augmentation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "vbp/core/error.hpp"

namespace {

using vbp::Index;
using vbp::Random;
using vbp::io::Augmentation;
using vbp::io::Image;

Image draw_image(Index width, Index height) {
  Image image{width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * width * height))};
  Random random(7);
  for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(random.below(256));
  return image;
}

vbp::io::Preprocessing preprocessing(Index size) {
  return {.image_size = size, .crop_pct = 1.0, .crop_mode = vbp::io::CropMode::squash};
}

std::vector<float> transformed(const Image& image, const Augmentation& augmentation, std::uint64_t seed,
                               Index size = 12) {
  std::vector<float> out(static_cast<std::size_t>(3 * size * size));
  Random random(seed);
  vbp::io::training_transform(image, preprocessing(size), augmentation, random, out);
  return out;
}

}  // namespace

TEST_CASE("without augmentation an image is seen as in evaluation") {
  const Image image = draw_image(31, 17);
  std::vector<float> expected(3 * 12 * 12);
  vbp::io::evaluation_transform(image, preprocessing(12), expected);
  CHECK(transformed(image, {}, 1) == expected);
}

TEST_CASE("what is seen depends on the seed alone") {
  const Image image = draw_image(40, 30);
  const Augmentation all{.min_area = 0.3, .flip = 0.5, .jitter = 0.4, .erase = 0.5};
  CHECK(transformed(image, all, 5) == transformed(image, all, 5));
  CHECK(transformed(image, all, 5) != transformed(image, all, 6));
}

TEST_CASE("boxes are uniform in area and place, and lie within the image") {
  Random random(8);
  double sum = 0.0;
  double left = 0.0;
  int found = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto box = vbp::io::detail::random_box(200, 100, {0.2, 0.6}, {3.0 / 4.0, 4.0 / 3.0}, random);
    REQUIRE(box.width >= 1);
    REQUIRE(box.left >= 0);
    REQUIRE(box.top >= 0);
    REQUIRE(box.left + box.width <= 200);
    REQUIRE(box.top + box.height <= 100);
    const double ratio = static_cast<double>(box.width) / static_cast<double>(box.height);
    REQUIRE(ratio > 0.7);
    REQUIRE(ratio < 1.4);
    const double area = static_cast<double>(box.width * box.height) / 20000.0;
    REQUIRE(area > 0.19);
    REQUIRE(area < 0.61);
    sum += area;
    left += static_cast<double>(box.left) / static_cast<double>(200 - box.width);
    ++found;
  }
  // A box higher than the image is drawn anew, which takes from the large ones: the mean is below 0.4.
  CHECK(sum / found == Approx(0.35).margin(0.05));
  CHECK(left / found == Approx(0.5).margin(0.01));
  // A strip holds no box of half its area.
  CHECK(vbp::io::detail::random_box(1000, 2, {0.5, 1.0}, {3.0 / 4.0, 4.0 / 3.0}, random).width == 0);
}

TEST_CASE("a crop is a part of the image, resized") {
  // Left half black, right half white: the mean tells where a crop came from.
  Image image{64, 64, std::vector<std::uint8_t>(3 * 64 * 64, 0)};
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = i / 3 % 64 < 32 ? 0 : 255;
  Random random(9);
  double lowest = 255.0;
  double highest = 0.0;
  for (int i = 0; i < 200; ++i) {
    const Image crop = vbp::io::random_resized_crop(image, 16, 0.1, vbp::io::Interpolation::bilinear, random);
    REQUIRE(crop.width == 16);
    REQUIRE(crop.height == 16);
    double mean = 0.0;
    for (const std::uint8_t value : crop.pixels) mean += value / static_cast<double>(crop.pixels.size());
    lowest = std::min(lowest, mean);
    highest = std::max(highest, mean);
  }
  CHECK(lowest == 0.0);
  CHECK(highest == 255.0);
  // Where no box fits, the central square.
  Image strip{300, 2, std::vector<std::uint8_t>(3 * 300 * 2, 0)};
  for (const Index pixel : {149, 150, 449, 450}) strip.pixels[static_cast<std::size_t>(3 * pixel)] = 200;
  const Image square = vbp::io::random_resized_crop(strip, 2, 0.9, vbp::io::Interpolation::bilinear, random);
  CHECK(square.pixels == std::vector<std::uint8_t>{200, 0, 0, 200, 0, 0, 200, 0, 0, 200, 0, 0});
}

TEST_CASE("the mirror image exchanges left and right") {
  Image image{3, 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}};
  vbp::io::flip(image);
  CHECK(image.pixels == std::vector<std::uint8_t>{7, 8, 9, 4, 5, 6, 1, 2, 3});
  Image even = draw_image(6, 5);
  const Image before = even;
  vbp::io::flip(even);
  CHECK(even.pixels != before.pixels);
  vbp::io::flip(even);
  CHECK(even.pixels == before.pixels);
  // Half of the images.
  const Image wide = draw_image(12, 12);
  const auto straight = transformed(wide, {}, 0);
  int flipped = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed)
    flipped += transformed(wide, {.flip = 0.5}, seed) != straight;
  CHECK(flipped > 440);
  CHECK(flipped < 560);
}

TEST_CASE("colours vary by their factors") {
  Random random(10);
  Image image = draw_image(9, 9);
  const Image before = image;
  vbp::io::jitter_colours(image, 0.0, random);
  CHECK(image.pixels == before.pixels);
  // Grey has no saturation, and a uniform image no contrast: brightness remains.
  double lowest = 255.0;
  double highest = 0.0;
  for (int i = 0; i < 500; ++i) {
    Image grey{4, 4, std::vector<std::uint8_t>(48, 100)};
    vbp::io::jitter_colours(grey, 0.5, random);
    REQUIRE(*std::max_element(grey.pixels.begin(), grey.pixels.end()) ==
            *std::min_element(grey.pixels.begin(), grey.pixels.end()));
    lowest = std::min<double>(lowest, grey.pixels[0]);
    highest = std::max<double>(highest, grey.pixels[0]);
  }
  CHECK(lowest >= 50.0);
  CHECK(lowest < 55.0);
  CHECK(highest <= 150.0);
  CHECK(highest > 145.0);
  CHECK(vbp::io::detail::blend(200, 100, 0.5) == 150);
  CHECK(vbp::io::detail::blend(200, 0, 2.0) == 255);
  CHECK(vbp::io::detail::blend(10, 100, 2.0) == 0);
}

TEST_CASE("erasing sets one rectangle of all channels to zero") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    std::vector<float> input(3 * 20 * 20, 1.0F);
    Random random(seed);
    vbp::io::erase_rectangle(input, 20, random);
    Index left = 20, top = 20, right = -1, bottom = -1, count = 0;
    for (Index i = 0; i < 400; ++i) {
      if (input[static_cast<std::size_t>(i)] != 0.0F) continue;
      left = std::min(left, i % 20);
      right = std::max(right, i % 20);
      top = std::min(top, i / 20);
      bottom = std::max(bottom, i / 20);
      ++count;
    }
    CHECK(count == (right - left + 1) * (bottom - top + 1));
    // Two per cent to a third, beyond the rounding of the sides.
    CHECK(count >= 4);
    CHECK(count <= 160);
    CHECK(std::equal(input.begin(), input.begin() + 400, input.begin() + 800));
  }
}

TEST_CASE("augmentation out of range is refused") {
  for (const Augmentation& bad :
       {Augmentation{.min_area = 0.0}, Augmentation{.min_area = 1.5}, Augmentation{.flip = -0.1},
        Augmentation{.jitter = 1.0}, Augmentation{.erase = 2.0}, Augmentation{.flip = NAN}}) {
    CHECK_THROWS_AS(bad.validate(), vbp::ValueError);
  }
  CHECK_THROWS_AS(transformed(Image{3, 3, {}}, {}, 1), vbp::ShapeError);
}
