#pragma once
/// The calibration file: accumulated statistics, and of what, so that parts can be merged without mistake.
///
/// It is a safetensors file. Metadata: format "vbp-calibration", version "1", model (fingerprint),
/// model_name, preprocessing, blocks (JSON list of names, in order), moments (what is kept of each block,
/// "variance" or "variance,covariance"). Tensors: images U8 [n, 16], and of each block NAME.mean and NAME.m2,
/// F64 [features], NAME.count, I64 [1]; with covariances also NAME.shift, F32 [features], NAME.sum, F64
/// [features], and NAME.products, F64 [features (features + 1) / 2], the upper triangle row by row of
/// sum (x - shift)(x - shift)^T.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/stats/covariance.hpp"
#include "vbp/stats/statistics.hpp"
#include "vbp/stats/stored_covariance.hpp"

namespace vbp::inline VBP_ABI::io {

/// The name of what is kept of each block, with covariances or without.
inline std::string moments_name(bool covariance) {
  return covariance ? "variance,covariance" : "variance";
}

/// Statistics of the blocks of one model under one preprocessing, and the images that they come from.
/// `names` and `statistics` go together; `covariances` is empty or of the same samples, one a block;
/// `preprocessing` is any text, compared letter by letter; `model_name` is for people. Each image gives a
/// block the same number of samples.
struct Calibration {
  Hash128 model;
  std::string preprocessing;
  std::string model_name;
  std::vector<Hash128> images;
  std::vector<std::string> names;
  std::vector<Statistics<double>> statistics;
  std::vector<Covariance<float>> covariances = {};

  /// What is kept of each block: "variance" or "variance,covariance".
  std::string moments() const { return moments_name(!covariances.empty()); }

  /// Throws ValueError, naming the block or the image, unless names are distinct, one a block, no image is
  /// counted twice, and each block's samples are a multiple of the images.
  void validate() const;

  /// Adds what `other` has seen. Throws ValueError, and changes nothing, if one of the two is not valid, if
  /// it is of another model, preprocessing, set of blocks or of moments, or if an image is in both.
  void merge(const Calibration& other);

  /// Writes the file atomically; throws ValueError if it is not valid, and FileError. One that is passed open
  /// is the caller's to commit.
  void save(const std::filesystem::path& path) const;
  void save(AtomicFile& file) const;
  /// The same bytes with covariances, one a block, that were put aside and are not in `covariances`.
  void save(AtomicFile& file, std::span<const StoredCovariance> stored) const;

  /// What becomes of the covariances of a file, each when it is read, in the order of the blocks.
  using TakeCovariance = std::function<void(Covariance<float>&&)>;

  /// Throws FileError for a file that is damaged, of another version, or that holds more than this version
  /// knows: what it would lose in a merge it does not read. Without `take` the covariances are kept.
  static Calibration load(const std::filesystem::path& path, const TakeCovariance& take = {}) {
    return from_safetensors(SafetensorsFile(path), take);
  }

  static Calibration from_safetensors(const SafetensorsFile& file, const TakeCovariance& take = {});
};

namespace detail {

inline constexpr std::string_view kCalibrationFormat = "vbp-calibration";
inline constexpr std::string_view kCalibrationVersion = "1";

inline void require_distinct(const std::vector<std::string>& names) {
  if (names.empty()) throw ValueError("a calibration needs at least one block");
  std::vector<std::string_view> sorted(names.begin(), names.end());
  std::sort(sorted.begin(), sorted.end());
  if (sorted.front().empty()) throw ValueError("a block has no name");
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end()) {
    throw ValueError("two blocks are named " + name_text(*twice));
  }
}

inline const std::string& calibration_entry(const SafetensorsFile& file, std::string_view key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    throw FileError(file.path(), "has no " + name_text(key) + " in its metadata");
  }
  return found->second;
}

inline std::vector<std::string> calibration_names(const SafetensorsFile& file) {
  const FileError error(file.path(), "the metadata \"blocks\" is not a JSON list of names");
  std::vector<std::string> names;
  try {
    // Refused while it is parsed, so that nesting as deep as the text is long builds no tree.
    const auto flat = [&error](int depth, nlohmann::json::parse_event_t event, nlohmann::json&) {
      using Event = nlohmann::json::parse_event_t;
      if (event == Event::object_start || (event == Event::array_start && depth > 0)) throw error;
      return true;
    };
    const auto list = nlohmann::json::parse(calibration_entry(file, "blocks"), flat);
    if (!list.is_array()) throw error;
    for (const auto& name : list) names.push_back(name.get<std::string>());
  } catch (const nlohmann::json::exception&) {
    throw error;
  }
  return names;
}

inline std::vector<Hash128> calibration_images(const SafetensorsFile& file) {
  const TensorView& view = file.tensor("images");
  if (view.dtype != Dtype::U8 || view.shape.size() != 2 || view.shape[1] != 16) {
    throw FileError(file.path(), "tensor \"images\": has shape " + shape_text(view.shape) + " of " +
                                     std::string(dtype_name(view.dtype)) + " where [n, 16] of U8 is needed");
  }
  std::vector<Hash128> images(view.data.size() / 16);
  for (std::size_t i = 0; i < images.size(); ++i) {
    images[i] = Hash128::from_bytes(view.data.subspan(16 * i).first<16>());
  }
  return images;
}

/// Doubles of one dimension, not converted from anything else.
inline const TensorView& calibration_doubles(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.tensor(name);
  if (view.dtype != Dtype::F64 || view.shape.size() != 1) {
    throw FileError(file.path(), "tensor " + name_text(name) + ": has shape " + shape_text(view.shape) +
                                     " of " + std::string(dtype_name(view.dtype)) +
                                     " where [features] of F64 is needed");
  }
  return view;
}

inline Vector<double> calibration_vector(const SafetensorsFile& file, const std::string& name) {
  return to<double>(calibration_doubles(file, name));
}

inline Statistics<double> calibration_statistics(const SafetensorsFile& file, const std::string& name) {
  const std::vector<std::int64_t> count = file.read_array<std::int64_t>(name + ".count");
  if (count.size() != 1) {
    throw FileError(file.path(), "tensor " + name_text(name + ".count") + ": holds " +
                                     std::to_string(count.size()) + " numbers instead of one");
  }
  Vector<double> mean = calibration_vector(file, name + ".mean");
  Vector<double> m2 = calibration_vector(file, name + ".m2");
  try {
    return Statistics<double>::from_moments(count[0], std::move(mean), std::move(m2));
  } catch (const Error& error) {
    throw FileError(file.path(), "block " + name_text(name) + ": " + error.what());
  }
}

inline Covariance<float> calibration_covariance(const SafetensorsFile& file, const std::string& name,
                                                std::int64_t count) {
  const TensorView& shift = file.tensor(name + ".shift");
  if (shift.dtype != Dtype::F32 || shift.shape.size() != 1) {
    throw FileError(file.path(), "tensor " + name_text(name + ".shift") + ": has shape " +
                                     shape_text(shift.shape) + " of " + std::string(dtype_name(shift.dtype)) +
                                     " where [features] of F32 is needed");
  }
  const TensorView& triangle = calibration_doubles(file, name + ".products");
  const Index features = shift.shape[0];
  if (triangle.size() != features * (features + 1) / 2) {
    throw FileError(file.path(), "tensor " + name_text(name + ".products") + ": holds " +
                                     std::to_string(triangle.size()) + " products of " +
                                     std::to_string(features) + " features");
  }
  Matrix<double> products = Matrix<double>::Zero(features, features);
  // Row by row, since the two of them may be much of what there is of memory.
  for (Index i = 0, next = 0; i < features; next += features - i++) {
    const auto first = static_cast<std::size_t>(next), size = static_cast<std::size_t>(features - i);
    std::memcpy(&products(i, i), triangle.data.data() + first * sizeof(double), size * sizeof(double));
  }
  try {
    return Covariance<float>::from_sums(count, to<float>(shift), calibration_vector(file, name + ".sum"),
                                        std::move(products));
  } catch (const FileError&) {
    throw;
  } catch (const Error& error) {
    throw FileError(file.path(), "block " + name_text(name) + ": " + error.what());
  }
}

/// The upper triangle row by row, from where it lies.
inline NamedTensor calibration_triangle(std::string name, const MatrixView<double>& products) {
  const Index features = products.rows();
  NamedTensor triangle{std::move(name), {Dtype::F64, {features * (features + 1) / 2}, {}}};
  for (Index i = 0; i < features; ++i) {
    const std::span<const double> row(products.data() + i * (products.outerStride() + 1),
                                      static_cast<std::size_t>(features - i));
    triangle.rest.push_back(std::as_bytes(row));
  }
  return triangle;
}

/// Throws ValueError, naming the block, unless the covariance is of the samples that the statistics are of.
inline void require_same_samples(const std::string& name, const Statistics<double>& statistics,
                                 const auto& covariance) {
  if (covariance.count() == statistics.count() && covariance.features() == statistics.features()) return;
  throw ValueError("block " + name_text(name) + ": the covariance is of " +
                   std::to_string(covariance.count()) + " samples of " +
                   std::to_string(covariance.features()) + " features, the variance of " +
                   std::to_string(statistics.count()) + " of " + std::to_string(statistics.features()));
}

inline void require_one_a_block(const Calibration& calibration, const auto& covariances) {
  if (!covariances.empty() && covariances.size() != calibration.names.size()) {
    throw ValueError("a calibration of " + std::to_string(calibration.names.size()) + " names and " +
                     std::to_string(covariances.size()) + " covariances");
  }
  for (std::size_t i = 0; i < covariances.size(); ++i)
    require_same_samples(calibration.names[i], calibration.statistics[i], covariances[i]);
}

inline void write_calibration(AtomicFile& file, const Calibration& calibration, const auto& covariances) {
  calibration.validate();
  require_one_a_block(calibration, covariances);
  const auto& names = calibration.names;
  const auto& statistics = calibration.statistics;
  std::vector<std::byte> hashes;
  hashes.reserve(16 * calibration.images.size());
  for (const Hash128& image : calibration.images) {
    const auto bytes = image.to_bytes();
    hashes.insert(hashes.end(), bytes.begin(), bytes.end());
  }
  SafetensorsWriter writer;
  for (std::size_t i = 0; i < names.size(); ++i) {
    writer.add(names[i] + ".mean", statistics[i].mean());
    writer.add(names[i] + ".m2", statistics[i].m2());
    writer.add(names[i] + ".count",
               Vector<std::int64_t>(Vector<std::int64_t>::Constant(1, statistics[i].count())));
  }
  for (std::size_t i = 0; i < covariances.size(); ++i) {
    writer.add(names[i] + ".shift", covariances[i].shift());
    writer.add(names[i] + ".sum", covariances[i].sum());
    writer.add(calibration_triangle(names[i] + ".products", covariances[i].products()));
  }
  writer.add({"images", {Dtype::U8, {static_cast<Index>(calibration.images.size()), 16}, hashes}});
  std::string blocks;
  try {
    blocks = nlohmann::json(names).dump();
  } catch (const nlohmann::json::exception&) {
    throw ValueError("a block's name is not valid UTF-8");
  }
  writer.write(file, {{"format", std::string(kCalibrationFormat)},
                      {"version", std::string(kCalibrationVersion)},
                      {"model", calibration.model.to_string()},
                      {"model_name", calibration.model_name},
                      {"preprocessing", calibration.preprocessing},
                      {"blocks", blocks},
                      {"moments", moments_name(!covariances.empty())}});
}

}  // namespace detail

inline void Calibration::validate() const {
  detail::require_distinct(names);
  if (names.size() != statistics.size()) {
    throw ValueError("a calibration of " + std::to_string(names.size()) + " names and " +
                     std::to_string(statistics.size()) + " statistics");
  }
  detail::require_one_a_block(*this, covariances);
  std::vector<Hash128> hashes = images;
  std::sort(hashes.begin(), hashes.end());
  if (const auto twice = std::adjacent_find(hashes.begin(), hashes.end()); twice != hashes.end()) {
    throw ValueError("the image with the hash " + twice->to_string() + " is counted twice");
  }
  const auto seen = static_cast<std::int64_t>(images.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::int64_t count = statistics[i].count();
    // The preprocessing fixes the image size, and with it the number of tokens.
    if (seen == 0 ? count != 0 : count <= 0 || count % seen != 0) {
      throw ValueError("block " + detail::name_text(names[i]) + ": " + std::to_string(count) +
                       " samples cannot come from " + std::to_string(seen) + " images");
    }
  }
}

inline void Calibration::merge(const Calibration& other) {
  validate();
  other.validate();
  if (other.model != model) {
    throw ValueError("the statistics are of another model: fingerprint " + other.model.to_string() + " of " +
                     detail::name_text(other.model_name) + ", not " + model.to_string() + " of " +
                     detail::name_text(model_name));
  }
  if (other.preprocessing != preprocessing) {
    throw ValueError("the images were preprocessed in another way: " +
                     detail::name_text(other.preprocessing) + ", not " + detail::name_text(preprocessing));
  }
  if (other.moments() != moments()) {
    throw ValueError("the statistics hold the moments \"" + other.moments() + "\", not \"" + moments() +
                     "\"");
  }
  if (other.names.size() != names.size()) {
    throw ValueError("the statistics are of " + std::to_string(other.names.size()) + " blocks, not " +
                     std::to_string(names.size()));
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (other.names[i] != names[i]) {
      throw ValueError("block " + std::to_string(i) + " is " + detail::name_text(other.names[i]) + ", not " +
                       detail::name_text(names[i]));
    }
    if (other.statistics[i].features() != statistics[i].features()) {
      throw ValueError("block " + detail::name_text(names[i]) + " has " +
                       std::to_string(other.statistics[i].features()) + " features, not " +
                       std::to_string(statistics[i].features()));
    }
    if (other.statistics[i].count() > std::numeric_limits<std::int64_t>::max() - statistics[i].count()) {
      throw ValueError("block " + detail::name_text(names[i]) + ": too many samples to count");
    }
  }
  const std::vector<Hash128> common = common_hashes(images, other.images);
  if (!common.empty()) {
    throw ValueError(std::to_string(common.size()) + " of " + std::to_string(other.images.size()) +
                     " images would be counted twice, the first with the hash " + common[0].to_string());
  }
  std::vector<Statistics<double>> merged = statistics;
  for (std::size_t i = 0; i < names.size(); ++i) {
    merged[i].merge(other.statistics[i]);
    if (!merged[i].mean().allFinite() || !merged[i].m2().allFinite()) {
      throw ValueError("block " + detail::name_text(names[i]) + ": the merged moments overflow");
    }
  }
  std::vector<Covariance<float>> merged_covariances = covariances;
  for (std::size_t i = 0; i < covariances.size(); ++i) {
    merged_covariances[i].merge(other.covariances[i]);
    if (!merged_covariances[i].sum().allFinite() || !merged_covariances[i].m2().allFinite()) {
      throw ValueError("block " + detail::name_text(names[i]) + ": the merged moments overflow");
    }
  }
  images.insert(images.end(), other.images.begin(), other.images.end());
  statistics.swap(merged);
  covariances.swap(merged_covariances);
}

inline void Calibration::save(const std::filesystem::path& path) const {
  AtomicFile file(path);
  save(file);
  file.commit();
}

inline void Calibration::save(AtomicFile& file) const {
  detail::write_calibration(file, *this, covariances);
}

inline void Calibration::save(AtomicFile& file, std::span<const StoredCovariance> stored) const {
  detail::write_calibration(file, *this, stored);
}

inline Calibration Calibration::from_safetensors(const SafetensorsFile& file, const TakeCovariance& take) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != detail::kCalibrationFormat) {
    throw FileError(file.path(), "is not a calibration file of vbp");
  }
  const std::string& version = detail::calibration_entry(file, "version");
  if (version != detail::kCalibrationVersion) {
    throw FileError(file.path(), "is a calibration file of version " + detail::name_text(version) +
                                     ", this program reads version " +
                                     std::string(detail::kCalibrationVersion));
  }
  const std::string& moments = detail::calibration_entry(file, "moments");
  const bool covariance = moments == moments_name(true);
  if (!covariance && moments != moments_name(false)) {
    throw FileError(file.path(), "holds the moments " + detail::name_text(moments) +
                                     ", this program knows \"variance\" and \"variance,covariance\" only");
  }
  Calibration result;
  try {
    result.model = Hash128::from_string(detail::calibration_entry(file, "model"));
  } catch (const ValueError& error) {
    throw FileError(file.path(), std::string("the model's fingerprint is not valid: ") + error.what());
  }
  result.model_name = detail::calibration_entry(file, "model_name");
  result.preprocessing = detail::calibration_entry(file, "preprocessing");
  result.names = detail::calibration_names(file);
  result.images = detail::calibration_images(file);
  std::vector<std::string> known{"images"};
  try {
    // First, so that a name repeated without end does not load its tensors each time.
    detail::require_distinct(result.names);
    for (const std::string& name : result.names) {
      result.statistics.push_back(detail::calibration_statistics(file, name));
      for (const char* moment : {".mean", ".m2", ".count"}) known.push_back(name + moment);
      if (!covariance) continue;
      const Statistics<double>& statistics = result.statistics.back();
      Covariance<float> read = detail::calibration_covariance(file, name, statistics.count());
      detail::require_same_samples(name, statistics, read);
      if (take) {
        take(std::move(read));
      } else {
        result.covariances.push_back(std::move(read));
      }
      for (const char* moment : {".shift", ".sum", ".products"}) known.push_back(name + moment);
    }
    result.validate();
  } catch (const ValueError& error) {
    throw FileError(file.path(), error.what());
  }
  std::sort(known.begin(), known.end());
  for (const auto& [name, view] : file.tensors()) {
    if (!std::binary_search(known.begin(), known.end(), name)) {
      throw FileError(file.path(), "tensor " + detail::name_text(name) +
                                       " is none that this program knows; a merge would lose it");
    }
  }
  return result;
}

}  // namespace vbp::inline VBP_ABI::io
