#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"
#include "vbp/io/calibration_file.hpp"

namespace vbp::inline VBP_ABI::io {

namespace detail {

inline constexpr std::string_view kCalibrationFormat = "vbp-calibration";
inline constexpr std::string_view kCalibrationVersion = "1";

VBP_FUNCTION void require_distinct(const std::vector<std::string>& names) {
  if (names.empty()) throw_value_error({"a calibration needs at least one block"});
  std::vector<std::string_view> sorted(names.begin(), names.end());
  std::sort(sorted.begin(), sorted.end());
  if (sorted.front().empty()) throw_value_error({"a block has no name"});
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end()) {
    throw_value_error({"two blocks are named ", name_text(*twice)});
  }
}

VBP_FUNCTION const std::string& calibration_entry(const SafetensorsFile& file, std::string_view key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    throw_file_error(file.path(), {"has no ", name_text(key), " in its metadata"});
  }
  return found->second;
}

/// Json is nlohmann::json, here and in json_list; a template, so that it is compiled only where it is used.
template <class Json>
std::vector<std::string> calibration_names(const SafetensorsFile& file) {
  const FileError error(file.path(), "the metadata \"blocks\" is not a JSON list of names");
  std::vector<std::string> names;
  try {
    // Nested values are refused while the text is parsed, before a deep tree is built.
    const auto flat = [&error](int depth, typename Json::parse_event_t event, Json&) {
      using Event = typename Json::parse_event_t;
      if (event == Event::object_start || (event == Event::array_start && depth > 0)) throw error;
      return true;
    };
    const Json list = Json::parse(calibration_entry(file, "blocks"), flat);
    if (!list.is_array()) throw error;
    for (const auto& name : list) names.push_back(name.template get<std::string>());
  } catch (const typename Json::exception&) {
    throw error;
  }
  return names;
}

VBP_FUNCTION std::vector<Hash128> calibration_images(const SafetensorsFile& file) {
  const TensorView& view = file.tensor("images");
  if (view.dtype != Dtype::U8 || view.shape.size() != 2 || view.shape[1] != 16) {
    throw_file_error(file.path(), {"tensor \"images\": has shape ", shape_text(view.shape), " of ",
                                   dtype_name(view.dtype), " where [n, 16] of U8 is needed"});
  }
  std::vector<Hash128> images(view.data.size() / 16);
  for (std::size_t i = 0; i < images.size(); ++i) {
    images[i] = Hash128::from_bytes(view.data.subspan(16 * i).first<16>());
  }
  return images;
}

/// Doubles of one dimension, not converted from anything else.
VBP_FUNCTION const TensorView& calibration_doubles(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.tensor(name);
  if (view.dtype != Dtype::F64 || view.shape.size() != 1) {
    throw_file_error(file.path(), {"tensor ", name_text(name), ": has shape ", shape_text(view.shape), " of ",
                                   dtype_name(view.dtype), " where [features] of F64 is needed"});
  }
  return view;
}

VBP_FUNCTION Vector<double> calibration_vector(const SafetensorsFile& file, const std::string& name) {
  return to<double>(calibration_doubles(file, name));
}

VBP_FUNCTION Statistics<double> calibration_statistics(const SafetensorsFile& file, const std::string& name) {
  const std::vector<std::int64_t> count = file.read_array<std::int64_t>(name + ".count");
  if (count.size() != 1) {
    throw_file_error(file.path(), {"tensor ", name_text(name + ".count"), ": holds ", count.size(),
                                   " numbers instead of one"});
  }
  Vector<double> mean = calibration_vector(file, name + ".mean");
  Vector<double> m2 = calibration_vector(file, name + ".m2");
  return with_context("block " + name_text(name), [&] {
    return Statistics<double>::from_moments(count[0], std::move(mean), std::move(m2));
  });
}

VBP_FUNCTION Covariance<float> calibration_covariance(const SafetensorsFile& file, const std::string& name,
                                                      std::int64_t count) {
  const TensorView& shift = file.tensor(name + ".shift");
  if (shift.dtype != Dtype::F32 || shift.shape.size() != 1) {
    throw_file_error(file.path(),
                     {"tensor ", name_text(name + ".shift"), ": has shape ", shape_text(shift.shape), " of ",
                      dtype_name(shift.dtype), " where [features] of F32 is needed"});
  }
  const TensorView& triangle = calibration_doubles(file, name + ".products");
  const Index features = shift.shape[0];
  if (triangle.size() != features * (features + 1) / 2) {
    throw_file_error(file.path(), {"tensor ", name_text(name + ".products"), ": holds ", triangle.size(),
                                   " products of ", features, " features"});
  }
  Matrix<double> products = Matrix<double>::Zero(features, features);
  // Row by row: a copy of the triangle might not fit into memory.
  for (Index i = 0, next = 0; i < features; next += features - i++) {
    const auto first = static_cast<std::size_t>(next), size = static_cast<std::size_t>(features - i);
    std::memcpy(&products(i, i), triangle.data.data() + first * sizeof(double), size * sizeof(double));
  }
  return with_context("block " + name_text(name), [&] {
    return Covariance<float>::from_sums(count, to<float>(shift), calibration_vector(file, name + ".sum"),
                                        std::move(products));
  });
}

/// The upper triangle row by row, without copying it.
VBP_FUNCTION NamedTensor calibration_triangle(std::string name, const MatrixView<double>& products) {
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
void require_same_samples(const std::string& name, const Statistics<double>& statistics,
                          const auto& covariance) {
  if (covariance.count() == statistics.count() && covariance.features() == statistics.features()) return;
  throw_value_error({"block ", name_text(name), ": the covariance is of ", covariance.count(), " samples of ",
                     covariance.features(), " features, the variance of ", statistics.count(), " of ",
                     statistics.features()});
}

void require_one_a_block(const Calibration& calibration, const auto& covariances) {
  if (!covariances.empty() && covariances.size() != calibration.names.size()) {
    throw_value_error(
        {"a calibration of ", calibration.names.size(), " names and ", covariances.size(), " covariances"});
  }
  for (std::size_t i = 0; i < covariances.size(); ++i)
    require_same_samples(calibration.names[i], calibration.statistics[i], covariances[i]);
}

/// Bytes of the hashes, one after the other.
VBP_FUNCTION std::vector<std::byte> hash_list(const std::vector<Hash128>& images) {
  std::vector<std::byte> hashes;
  hashes.reserve(16 * images.size());
  for (const Hash128& image : images) {
    const auto bytes = image.to_bytes();
    hashes.insert(hashes.end(), bytes.begin(), bytes.end());
  }
  return hashes;
}

template <class Json>
std::string json_list(const std::vector<std::string>& names) {
  try {
    return Json(names).dump();
  } catch (const typename Json::exception&) {
    throw_value_error({"a block's name is not valid UTF-8"});
  }
}

void write_calibration(AtomicFile& file, const Calibration& calibration, const auto& covariances) {
  calibration.validate();
  require_one_a_block(calibration, covariances);
  const auto& names = calibration.names;
  const auto& statistics = calibration.statistics;
  const std::vector<std::byte> hashes = hash_list(calibration.images);
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
  writer.write(file, {{"format", std::string(kCalibrationFormat)},
                      {"version", std::string(kCalibrationVersion)},
                      {"model", calibration.model.to_string()},
                      {"model_name", calibration.model_name},
                      {"preprocessing", calibration.preprocessing},
                      {"blocks", json_list<nlohmann::json>(names)},
                      {"moments", moments_name(!covariances.empty())}});
}

/// Throws ValueError unless both are of the same model, preprocessing and kind of moments.
VBP_FUNCTION void require_same_kind(const Calibration& own, const Calibration& other) {
  if (other.model != own.model) {
    throw_value_error({"the statistics are of another model: fingerprint ", other.model.to_string(), " of ",
                       name_text(other.model_name), ", not ", own.model.to_string(), " of ",
                       name_text(own.model_name)});
  }
  if (other.preprocessing != own.preprocessing) {
    throw_value_error({"the images were preprocessed in another way: ", name_text(other.preprocessing),
                       ", not ", name_text(own.preprocessing)});
  }
  if (other.moments() != own.moments()) {
    throw_value_error(
        {"the statistics hold the moments \"", other.moments(), "\", not \"", own.moments(), "\""});
  }
}

/// Throws ValueError, naming the block, unless both are of the same blocks.
VBP_FUNCTION void require_same_blocks(const Calibration& own, const Calibration& other) {
  if (other.names.size() != own.names.size()) {
    throw_value_error({"the statistics are of ", other.names.size(), " blocks, not ", own.names.size()});
  }
  for (std::size_t i = 0; i < own.names.size(); ++i) {
    if (other.names[i] != own.names[i]) {
      throw_value_error({"block ", i, " is ", name_text(other.names[i]), ", not ", name_text(own.names[i])});
    }
    if (other.statistics[i].features() != own.statistics[i].features()) {
      throw_value_error({"block ", name_text(own.names[i]), " has ", other.statistics[i].features(),
                         " features, not ", own.statistics[i].features()});
    }
    if (other.statistics[i].count() > std::numeric_limits<std::int64_t>::max() - own.statistics[i].count()) {
      throw_value_error({"block ", name_text(own.names[i]), ": too many samples to count"});
    }
  }
}

/// Throws ValueError for images that are in both.
VBP_FUNCTION void require_other_images(const Calibration& own, const Calibration& other) {
  const std::vector<Hash128> common = common_hashes(own.images, other.images);
  if (!common.empty()) {
    throw_value_error({common.size(), " of ", other.images.size(),
                       " images would be counted twice, the first with the hash ", common[0].to_string()});
  }
}

/// Whether the file holds covariances. Throws FileError unless it is a calibration file that this version
/// reads.
VBP_FUNCTION bool holds_covariances(const SafetensorsFile& file) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kCalibrationFormat) {
    throw_file_error(file.path(), {"is not a calibration file of vbp"});
  }
  const std::string& version = calibration_entry(file, "version");
  if (version != kCalibrationVersion) {
    throw_file_error(file.path(), {"is a calibration file of version ", name_text(version),
                                   ", this program reads version ", kCalibrationVersion});
  }
  const std::string& moments = calibration_entry(file, "moments");
  const bool covariance = moments == moments_name(true);
  if (!covariance && moments != moments_name(false)) {
    throw_file_error(file.path(), {"holds the moments ", name_text(moments),
                                   ", this program knows \"variance\" and \"variance,covariance\" only"});
  }
  return covariance;
}

/// Reads the blocks that the calibration names.
VBP_FUNCTION void read_blocks(const SafetensorsFile& file, bool covariances, Calibration& calibration,
                              const Calibration::CovarianceReceiver& receive) {
  for (const std::string& name : calibration.names) {
    calibration.statistics.push_back(calibration_statistics(file, name));
    if (!covariances) continue;
    const Statistics<double>& statistics = calibration.statistics.back();
    Covariance<float> read = calibration_covariance(file, name, statistics.count());
    require_same_samples(name, statistics, read);
    if (receive) {
      receive(std::move(read));
    } else {
      calibration.covariances.push_back(std::move(read));
    }
  }
}

/// Throws FileError, naming the tensor, if the file has a tensor that is not of these blocks.
VBP_FUNCTION void require_known_tensors(const SafetensorsFile& file, const std::vector<std::string>& names,
                                        bool covariances) {
  std::vector<std::string> known{"images"};
  for (const std::string& name : names) {
    for (const char* moment : {".mean", ".m2", ".count"}) known.push_back(name + moment);
    if (!covariances) continue;
    for (const char* moment : {".shift", ".sum", ".products"}) known.push_back(name + moment);
  }
  std::sort(known.begin(), known.end());
  for (const auto& [name, view] : file.tensors()) {
    if (!std::binary_search(known.begin(), known.end(), name)) {
      throw_file_error(file.path(), {"this program does not know the tensor ", name_text(name),
                                     "; a merge would lose it"});
    }
  }
}

}  // namespace detail

VBP_FUNCTION std::string moments_name(bool covariance) {
  return covariance ? "variance,covariance" : "variance";
}

VBP_FUNCTION std::string Calibration::moments() const {
  return moments_name(!covariances.empty());
}

VBP_FUNCTION void Calibration::validate() const {
  detail::require_distinct(names);
  if (names.size() != statistics.size()) {
    throw_value_error({"a calibration of ", names.size(), " names and ", statistics.size(), " statistics"});
  }
  detail::require_one_a_block(*this, covariances);
  std::vector<Hash128> hashes = images;
  std::sort(hashes.begin(), hashes.end());
  if (const auto twice = std::adjacent_find(hashes.begin(), hashes.end()); twice != hashes.end()) {
    throw_value_error({"the image with the hash ", twice->to_string(), " is counted twice"});
  }
  const auto seen = static_cast<std::int64_t>(images.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::int64_t count = statistics[i].count();
    // The preprocessing fixes the image size, and with it the number of tokens.
    if (seen == 0 ? count != 0 : count <= 0 || count % seen != 0) {
      throw_value_error({"block ", detail::name_text(names[i]), ": ", count, " samples cannot come from ",
                         seen, " images"});
    }
  }
}

VBP_FUNCTION void Calibration::merge(const Calibration& other) {
  validate();
  other.validate();
  detail::require_same_kind(*this, other);
  detail::require_same_blocks(*this, other);
  detail::require_other_images(*this, other);
  std::vector<Statistics<double>> merged = statistics;
  for (std::size_t i = 0; i < names.size(); ++i) {
    merged[i].merge(other.statistics[i]);
    if (!merged[i].mean().allFinite() || !merged[i].m2().allFinite()) {
      throw_value_error({"block ", detail::name_text(names[i]), ": the merged moments overflow"});
    }
  }
  std::vector<Covariance<float>> merged_covariances = covariances;
  for (std::size_t i = 0; i < covariances.size(); ++i) {
    merged_covariances[i].merge(other.covariances[i]);
    if (!merged_covariances[i].sum().allFinite() || !merged_covariances[i].m2().allFinite()) {
      throw_value_error({"block ", detail::name_text(names[i]), ": the merged moments overflow"});
    }
  }
  images.insert(images.end(), other.images.begin(), other.images.end());
  statistics.swap(merged);
  covariances.swap(merged_covariances);
}

VBP_FUNCTION void Calibration::save(const std::filesystem::path& path) const {
  AtomicFile file(path);
  save(file);
  file.commit();
}

VBP_FUNCTION void Calibration::save(AtomicFile& file) const {
  detail::write_calibration(file, *this, covariances);
}

VBP_FUNCTION void Calibration::save(AtomicFile& file, std::span<const StoredCovariance> stored) const {
  detail::write_calibration(file, *this, stored);
}

VBP_FUNCTION Calibration Calibration::load(const std::filesystem::path& path,
                                           const CovarianceReceiver& receive) {
  return from_safetensors(SafetensorsFile(path), receive);
}

VBP_FUNCTION Calibration Calibration::from_safetensors(const SafetensorsFile& file,
                                                       const CovarianceReceiver& receive) {
  const bool covariances = detail::holds_covariances(file);
  return with_file(file.path(), [&] {
    Calibration result;
    result.model = with_context("the model's fingerprint is not valid", [&] {
      return Hash128::from_string(detail::calibration_entry(file, "model"));
    });
    result.model_name = detail::calibration_entry(file, "model_name");
    result.preprocessing = detail::calibration_entry(file, "preprocessing");
    result.names = detail::calibration_names<nlohmann::json>(file);
    result.images = detail::calibration_images(file);
    // Before any tensor is read: a name that is repeated a million times must not load its tensors each time.
    detail::require_distinct(result.names);
    detail::read_blocks(file, covariances, result, receive);
    result.validate();
    detail::require_known_tensors(file, result.names, covariances);
    return result;
  });
}

}  // namespace vbp::inline VBP_ABI::io
