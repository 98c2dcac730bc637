#pragma once
/// From decoded pixels to a network's input: antialiased resampling as PIL does it, and timm's evaluation
/// transform.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::io {

/// A decoded image: 8-bit RGB, rows from the top, three bytes a pixel, no padding: [height, width, 3].
struct Image {
  Index width = 0;
  Index height = 0;
  std::vector<std::uint8_t> pixels;
};

/// Resampling filters; their names in timm's configurations are these, in lower case.
enum class Interpolation { bilinear, bicubic, lanczos };

/// `center`: the shorter side is resized and the centre cut out. `squash`: both sides are resized to the same
/// length, whatever the aspect ratio, before the centre is cut out. Named as timm's `crop_mode`.
enum class CropMode { center, squash };

/// timm's name of a filter.
VBP_FUNCTION std::string_view name_of(Interpolation interpolation) noexcept;

/// timm's name of a crop mode.
VBP_FUNCTION std::string_view name_of(CropMode mode) noexcept;

/// The filter timm calls so. Throws ValueError for a name that is not offered.
VBP_FUNCTION Interpolation parse_interpolation(std::string_view text);

/// The crop mode timm calls so. Throws ValueError for a name that is not offered.
VBP_FUNCTION CropMode parse_crop_mode(std::string_view text);

/// How an image becomes a network's input; the defaults are timm's, mean and deviation ImageNet's.
/// `crop_pct` in (0, 1] is the part of the resized side that the crop keeps; mean and std are in units of
/// full intensity.
struct Preprocessing {
  Index image_size = 224;
  double crop_pct = 0.875;
  Interpolation interpolation = Interpolation::bicubic;
  CropMode crop_mode = CropMode::center;
  std::array<double, 3> mean{0.485, 0.456, 0.406};
  std::array<double, 3> std{0.229, 0.224, 0.225};

  bool operator==(const Preprocessing&) const = default;

  /// One line of JSON with fixed key order and shortest round-trip numbers: equal texts mean equal
  /// preprocessing.
  VBP_FUNCTION std::string to_string() const;
};

/// Throws ValueError, naming the setting, unless every value is in its range.
VBP_FUNCTION void validate(const Preprocessing& preprocessing);

/// Antialiased resampling to width x height, bit for bit as PIL's Image.resize on RGB: two passes in fixed
/// point with an 8-bit intermediate. Throws ShapeError for an empty image or sizes below 1.
VBP_FUNCTION Image resize(const Image& image, Index width, Index height, Interpolation interpolation);

/// Scales to [0, 1], subtracts mean and divides by std: `out` is [3, height, width], planes of R, G, B.
/// Throws ShapeError where the sizes of image or out are wrong.
VBP_FUNCTION void normalise(const Image& image, const Preprocessing& preprocessing, std::span<float> out);

/// What timm's evaluation transform cuts out: resize (shorter side to floor(image_size / crop_pct), the
/// longer one rounded down), then the centre, image_size x image_size. Throws ValueError for invalid
/// settings.
VBP_FUNCTION Image evaluation_crop(const Image& image, const Preprocessing& preprocessing);

/// timm's evaluation transform: evaluation_crop, then normalise. `out` is [3, image_size, image_size]. Throws
/// ValueError for invalid settings and ShapeError where the sizes of image or out are wrong.
VBP_FUNCTION void evaluation_transform(const Image& image, const Preprocessing& preprocessing,
                                       std::span<float> out);

namespace detail {

/// Throws ShapeError unless the image has pixels, and as many as its sides say.
VBP_FUNCTION void check_image(const Image& image);

}  // namespace detail
}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/preprocessing-inl.hpp"
#endif
