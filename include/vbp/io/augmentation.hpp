#pragma once
/// Images as training sees them: random crop, mirror image, colours, erased rectangle.

#include <cstdint>
#include <span>
#include <utility>

#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/preprocessing.hpp"

namespace vbp::inline VBP_ABI::io {

/// What training_transform does; with all of it off, it is the evaluation transform.
struct Augmentation {
  double min_area = 1.0;  ///< smallest part of the image that a random crop keeps; 1: no random crop
  double flip = 0.0;      ///< probability of the mirror image
  double jitter = 0.0;    ///< brightness, contrast and saturation are scaled by 1 - jitter to 1 + jitter
  double erase = 0.0;     ///< probability that a rectangle is replaced by the mean colour

  /// Throws ValueError, naming the member, for a value out of its range.
  VBP_FUNCTION void validate() const;
};

/// RandomResizedCrop (Szegedy et al. 2015): a box of `min_area` to all of the image's area, sides between 3:4
/// and 4:3, resized to size x size; the largest square in the centre where no box fits.
VBP_FUNCTION Image random_resized_crop(const Image& image, Index size, double min_area,
                                       Interpolation interpolation, Random& random);

/// The mirror image, left and right exchanged.
VBP_FUNCTION void flip(Image& image);

/// Scales brightness, contrast (around the mean luma) and saturation (around each pixel's luma), in this
/// order, each by its own factor drawn uniformly from 1 - jitter to 1 + jitter.
VBP_FUNCTION void jitter_colours(Image& image, double jitter, Random& random);

/// Random erasing (Zhong et al. 2020) of a network input [3, size, size]: a rectangle of 2 % to a third of
/// the area, sides between 3:10 and 10:3, set to zero, which is the mean colour.
VBP_FUNCTION void erase_rectangle(std::span<float> input, Index size, Random& random);

/// An image as training sees it: `out` is [3, image_size, image_size], as evaluation_transform writes it.
/// What is done depends on the state of `random` alone. Throws as evaluation_transform does.
VBP_FUNCTION void training_transform(const Image& image, const Preprocessing& preprocessing,
                                     const Augmentation& augmentation, Random& random, std::span<float> out);

namespace detail {

/// A rectangle of pixels.
struct Box {
  Index left = 0;
  Index top = 0;
  Index width = 0;
  Index height = 0;
};

/// A box of random area (share of the image, uniform), aspect ratio (its logarithm uniform) and place, as
/// torchvision draws them for crops and erasure: up to ten attempts, an empty box if none fits.
VBP_FUNCTION Box random_box(Index width, Index height, std::pair<double, double> area,
                            std::pair<double, double> ratio, Random& random) noexcept;

/// pixel <- other + factor (pixel - other), rounded and clamped to a byte.
VBP_FUNCTION std::uint8_t blend(double pixel, double other, double factor) noexcept;

}  // namespace detail
}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/augmentation-inl.hpp"
#endif
