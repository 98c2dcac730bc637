#pragma once
/// The calibration file: accumulated statistics, and what they are of, so that only parts that belong
/// together are merged.
///
/// It is a safetensors file. Metadata: format "vbp-calibration", version "1", model (fingerprint),
/// model_name, preprocessing, blocks (JSON list of names, in order), moments (what is kept of each block,
/// "variance" or "variance,covariance"). Tensors: images U8 [n, 16], and of each block NAME.mean and NAME.m2,
/// F64 [features], NAME.count, I64 [1]; with covariances also NAME.shift, F32 [features], NAME.sum, F64
/// [features], and NAME.products, F64 [features (features + 1) / 2], the upper triangle row by row of
/// sum (x - shift)(x - shift)^T.

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/stats/covariance.hpp"
#include "vbp/stats/statistics.hpp"
#include "vbp/stats/stored_covariance.hpp"

namespace vbp::inline VBP_ABI::io {

/// The name of what is kept of each block, with covariances or without.
VBP_FUNCTION std::string moments_name(bool covariance);

/// Statistics of the blocks of one model under one preprocessing, and the images that they come from.
/// `names` and `statistics` have one entry a block; `covariances` is empty or has one a block, of the same
/// samples. `preprocessing` is any text, compared letter by letter; `model_name` is for people. Each image
/// gives a block the same number of samples.
struct Calibration {
  Hash128 model;
  std::string preprocessing;
  std::string model_name;
  std::vector<Hash128> images;
  std::vector<std::string> names;
  std::vector<Statistics<double>> statistics;
  std::vector<Covariance<float>> covariances = {};

  /// What is kept of each block: "variance" or "variance,covariance".
  VBP_FUNCTION std::string moments() const;

  /// Throws ValueError, naming the block or the image, unless names are distinct, one a block, no image is
  /// counted twice, and each block's samples are a multiple of the images.
  VBP_FUNCTION void validate() const;

  /// Adds what `other` has seen. Throws ValueError, and changes nothing, if one of the two is not valid, if
  /// their model, preprocessing, blocks or moments differ, or if an image is in both.
  VBP_FUNCTION void merge(const Calibration& other);

  /// Writes the file atomically; throws ValueError if the calibration is not valid, and FileError. The caller
  /// commits a file that is passed open.
  VBP_FUNCTION void save(const std::filesystem::path& path) const;
  VBP_FUNCTION void save(AtomicFile& file) const;
  /// The same bytes, with covariances from `stored`, one a block, instead of `covariances`, which is empty.
  VBP_FUNCTION void save(AtomicFile& file, std::span<const StoredCovariance> stored) const;

  /// Receives the covariances of a file in the order of the blocks, each as soon as it is read.
  using CovarianceReceiver = std::function<void(Covariance<float>&&)>;

  /// Reads a file. With `receive` the covariances go there instead of into `covariances`. Throws FileError
  /// for a file that is damaged, of another version, or that holds more than this version knows, which a
  /// merge would lose.
  VBP_FUNCTION static Calibration load(const std::filesystem::path& path,
                                       const CovarianceReceiver& receive = {});
  VBP_FUNCTION static Calibration from_safetensors(const SafetensorsFile& file,
                                                   const CovarianceReceiver& receive = {});
};

}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/calibration_file-inl.hpp"
#endif
