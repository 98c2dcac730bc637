#include "vbp/io/preprocessing.hpp"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/ppm.hpp"
#include "vbp/core/random.hpp"

namespace {

using vbp::Index;
using namespace vbp::io;

const std::filesystem::path kGolden = std::filesystem::path(VBP_TEST_DIR) / "golden" / "resize";

Image noise(Index width, Index height, std::uint64_t seed) {
  vbp::Random random(seed);
  Image image{width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * width * height))};
  for (auto& value : image.pixels) value = static_cast<std::uint8_t>(random.below(256));
  return image;
}

double triangle(double x) {
  return std::max(0.0, 1.0 - std::abs(x));
}

// Keys (1981), a = -1/2, as the two expanded polynomials.
double cubic(double x) {
  x = std::abs(x);
  if (x < 1.0) return 1.5 * x * x * x - 2.5 * x * x + 1.0;
  if (x < 2.0) return -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0;
  return 0.0;
}

// The filter as one two-dimensional weighted mean in double: no passes, no fixed point, no intermediate
// rounding.
double direct(const Image& image, Index width, Index height, Index x, Index y, std::size_t channel,
              double (*filter)(double)) {
  const double scale_x = static_cast<double>(image.width) / static_cast<double>(width);
  const double scale_y = static_cast<double>(image.height) / static_cast<double>(height);
  double sum = 0.0;
  double weights = 0.0;
  for (Index v = 0; v < image.height; ++v) {
    for (Index u = 0; u < image.width; ++u) {
      const double dx = (static_cast<double>(u) + 0.5) - (static_cast<double>(x) + 0.5) * scale_x;
      const double dy = (static_cast<double>(v) + 0.5) - (static_cast<double>(y) + 0.5) * scale_y;
      const double weight = filter(dx / std::max(scale_x, 1.0)) * filter(dy / std::max(scale_y, 1.0));
      sum += weight * image.pixels[static_cast<std::size_t>(3 * (v * image.width + u)) + channel];
      weights += weight;
    }
  }
  return sum / weights;
}

// Size of a golden file named <filter>_<width>x<height>.ppm.
std::pair<Index, Index> size_of(const std::string& name) {
  const std::size_t begin = name.find('_') + 1;
  const std::size_t cross = name.find('x', begin);
  return {std::stol(name.substr(begin)), std::stol(name.substr(cross + 1))};
}

TEST_CASE("resize gives Pillow's pixels", "[io]") {
  const Image source = vbp_test::read_ppm(kGolden / "source.ppm");
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kGolden)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".ppm" || name == "source.ppm") continue;
    INFO(name);
    const Image expected = vbp_test::read_ppm(entry.path());
    const auto [width, height] = size_of(name);
    const Image actual = resize(source, width, height, parse_interpolation(name.substr(0, name.find('_'))));
    CHECK(actual.width == expected.width);
    CHECK(actual.height == expected.height);
    CHECK(actual.pixels == expected.pixels);
    ++compared;
  }
  CHECK(compared == 24);
}

TEST_CASE("resize is the filter's weighted mean", "[io]") {
  const Image source = noise(23, 17, 1);
  // Each pass rounds by half a level. The second weighs the first's error with at most the sum of its
  // absolute weights, which for the cubic is below 1.3. A clamped overshoot between the passes is left out by
  // the range of the noise.
  Image mild = source;
  for (auto& value : mild.pixels) value = static_cast<std::uint8_t>(96 + value / 4);
  struct Case {
    Interpolation interpolation;
    double (*filter)(double);
  };
  for (const Case& c : {Case{Interpolation::bilinear, triangle}, Case{Interpolation::bicubic, cubic}}) {
    for (const auto& [width, height] :
         {std::pair<Index, Index>{9, 11}, {40, 29}, {40, 5}, {7, 30}, {23, 6}}) {
      INFO(name_of(c.interpolation) << " " << width << " x " << height);
      const Image out = resize(mild, width, height, c.interpolation);
      double worst = 0.0;
      for (Index y = 0; y < height; ++y) {
        for (Index x = 0; x < width; ++x) {
          for (std::size_t channel = 0; channel < 3; ++channel) {
            const double expected = direct(mild, width, height, x, y, channel, c.filter);
            const double actual = out.pixels[static_cast<std::size_t>(3 * (y * width + x)) + channel];
            worst = std::max(worst, std::abs(actual - expected));
          }
        }
      }
      CHECK(worst <= 0.5 + 1.3 * 0.5 + 1e-3);
    }
  }
}

TEST_CASE("resize leaves a plain colour as it is, and the same size alone", "[io]") {
  Image plain{19, 7, {}};
  for (int i = 0; i < 19 * 7; ++i) plain.pixels.insert(plain.pixels.end(), {0, 131, 255});
  for (const auto interpolation : {Interpolation::bilinear, Interpolation::bicubic, Interpolation::lanczos}) {
    const Image out = resize(plain, 50, 3, interpolation);
    REQUIRE(out.pixels.size() == 450);
    for (std::size_t i = 0; i < out.pixels.size(); i += 3) {
      REQUIRE(out.pixels[i] == 0);
      REQUIRE(out.pixels[i + 1] == 131);
      REQUIRE(out.pixels[i + 2] == 255);
    }
    const Image source = noise(19, 7, 2);
    CHECK(resize(source, 19, 7, interpolation).pixels == source.pixels);
  }
}

TEST_CASE("resize refuses images and sizes that are none", "[io]") {
  CHECK_THROWS_AS(resize(Image{}, 4, 4, Interpolation::bicubic), vbp::ShapeError);
  CHECK_THROWS_AS(resize(noise(4, 4, 1), 0, 4, Interpolation::bicubic), vbp::ShapeError);
  CHECK_THROWS_AS(resize(noise(4, 4, 1), 4, -1, Interpolation::bicubic), vbp::ShapeError);
  Image short_by_one = noise(4, 4, 1);
  short_by_one.pixels.pop_back();
  CHECK_THROWS_WITH(resize(short_by_one, 2, 2, Interpolation::bicubic),
                    "image of 4 x 4 pixels holds 47 bytes");
}

TEST_CASE("evaluation_transform gives timm's values", "[io]") {
  const Image source = vbp_test::read_ppm(kGolden / "source.ppm");
  struct Case {
    const char* file;
    Preprocessing preprocessing;
  };
  const std::vector<Case> cases{
      {"center_bicubic_16_875.f32", {.image_size = 16}},
      {"center_bilinear_15_1000.f32",
       {.image_size = 15, .crop_pct = 1.0, .interpolation = Interpolation::bilinear}},
      {"squash_lanczos_12_700.f32",
       {.image_size = 12,
        .crop_pct = 0.7,
        .interpolation = Interpolation::lanczos,
        .crop_mode = CropMode::squash}}};
  for (const Case& c : cases) {
    INFO(c.file);
    const std::string bytes = vbp_test::read_file(kGolden / c.file);
    std::vector<float> expected(bytes.size() / sizeof(float));
    std::memcpy(expected.data(), bytes.data(), bytes.size());
    std::vector<float> actual(expected.size());
    evaluation_transform(source, c.preprocessing, actual);
    // The same pixels; the values may differ by the last bit where a compiler contracts operations.
    float worst = 0.0F;
    for (std::size_t i = 0; i < actual.size(); ++i)
      worst = std::max(worst, std::abs(actual[i] - expected[i]));
    CHECK(worst <= 1e-6F);
  }
}

TEST_CASE("evaluation_transform crops what resize gives, for every aspect", "[io]") {
  const Preprocessing preprocessing{.image_size = 10, .crop_pct = 0.8, .mean = {0, 0, 0}, .std = {1, 1, 1}};
  const Index scaled = 12;  // floor(10 / 0.8)
  for (const auto& [width, height] :
       {std::pair<Index, Index>{12, 12}, {37, 12}, {12, 40}, {50, 17}, {9, 31}, {1, 90}}) {
    INFO(width << " x " << height);
    const Image source = noise(width, height, 3);
    const bool tall = height >= width;
    const Index longer = scaled * std::max(width, height) / std::min(width, height);
    const Index full_width = tall ? scaled : longer;
    const Index full_height = tall ? longer : scaled;
    const Image full = resize(source, full_width, full_height, Interpolation::bicubic);
    // Python's round() takes halves to the even neighbour, as nearbyint does.
    const auto left = static_cast<Index>(std::nearbyint(static_cast<double>(full_width - 10) / 2.0));
    const auto top = static_cast<Index>(std::nearbyint(static_cast<double>(full_height - 10) / 2.0));
    std::vector<float> out(300);
    evaluation_transform(source, preprocessing, out);
    bool same = true;
    for (Index y = 0; y < 10; ++y) {
      for (Index x = 0; x < 10; ++x) {
        for (Index channel = 0; channel < 3; ++channel) {
          const auto from = static_cast<std::size_t>(3 * ((top + y) * full_width + left + x) + channel);
          const auto to = static_cast<std::size_t>(100 * channel + 10 * y + x);
          same = same && std::lround(out[to] * 255.0F) == full.pixels[from];
        }
      }
    }
    CHECK(same);
  }
}

TEST_CASE("a strip-shaped image takes no memory for what is cropped away", "[io]") {
  // Resized as a whole this would be 14 GB.
  const Image strip = noise(1, 80000, 4);
  std::vector<float> out(3 * 224 * 224, -100.0F);
  evaluation_transform(strip, Preprocessing{}, out);
  CHECK(*std::min_element(out.begin(), out.end()) > -3.0F);
}

TEST_CASE("evaluation_transform names the setting that is wrong", "[io]") {
  const Image source = noise(8, 8, 5);
  std::vector<float> out(3 * 16);
  Preprocessing p{.image_size = 4};
  CHECK_NOTHROW(evaluation_transform(source, p, out));
  p.image_size = 5;
  CHECK_THROWS_AS(evaluation_transform(source, p, out), vbp::ShapeError);
  p.image_size = 0;
  CHECK_THROWS_WITH(evaluation_transform(source, p, out), Catch::Contains("image size 0"));
  p.image_size = 4;
  for (const double crop_pct : {0.0, -1.0, 1.01, 1e-9, std::numeric_limits<double>::quiet_NaN()}) {
    p.crop_pct = crop_pct;
    CHECK_THROWS_WITH(evaluation_transform(source, p, out), Catch::Contains("crop_pct"));
  }
  p.crop_pct = 1.0;
  p.std = {1.0, 0.0, 1.0};
  CHECK_THROWS_WITH(evaluation_transform(source, p, out), Catch::Contains("std 0 "));
  p.std = {1.0, 1.0, 1.0};
  p.mean[2] = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH(evaluation_transform(source, p, out), Catch::Contains("mean"));
  CHECK_THROWS_AS(evaluation_transform(Image{}, Preprocessing{.image_size = 4}, out), vbp::ShapeError);
}

TEST_CASE("preprocessing has one text, which is JSON", "[io]") {
  Preprocessing p;
  CHECK(p.to_string() ==
        R"({"image_size":224,"crop_pct":0.875,"interpolation":"bicubic","crop_mode":"center",)"
        R"("mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]})");
  p.crop_pct = 0.1 + 0.2;
  p.crop_mode = CropMode::squash;
  const auto json = nlohmann::json::parse(p.to_string());
  CHECK(json["crop_pct"].get<double>() == 0.1 + 0.2);
  CHECK(json["crop_mode"] == "squash");
  CHECK(json["mean"].get<std::array<double, 3>>() == p.mean);
}

TEST_CASE("filters and crop modes are called as in timm", "[io]") {
  CHECK(parse_interpolation("bicubic") == Interpolation::bicubic);
  CHECK(parse_interpolation("bilinear") == Interpolation::bilinear);
  CHECK(parse_interpolation("lanczos") == Interpolation::lanczos);
  CHECK_THROWS_WITH(parse_interpolation("random"), Catch::Contains("\"random\""));
  CHECK(parse_crop_mode("squash") == CropMode::squash);
  CHECK(parse_crop_mode("center") == CropMode::center);
  CHECK_THROWS_WITH(parse_crop_mode("border"), Catch::Contains("\"border\""));
}

}  // namespace
