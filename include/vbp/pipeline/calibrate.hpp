#pragma once
/// Gathers statistics of a model's hidden activations from images, or reads them from a file:
///
///     vbp::CalibrationResult seen = vbp::calibrate(model, images, {.covariances = true});
///     vbp::save_statistics("statistics.safetensors", seen);
///     vbp::prune(model, seen, {.rate = 0.5});

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/stored_matrix.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/calibration_file.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/image_batch.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/image_source.hpp"
#include "vbp/prune/mlp.hpp"
#include "vbp/stats/covariance.hpp"
#include "vbp/stats/stored_covariance.hpp"

namespace vbp::inline VBP_ABI {

/// A limit on the memory for covariances and residual streams, which grow with the blocks and the images.
/// What does not fit spills to unlinked temporary files.
struct MemoryLimit {
  std::optional<std::uint64_t> bytes = std::nullopt;  ///< no value: no limit
  std::filesystem::path folder = ".";                 ///< folder of the temporary files
};

/// The memory limit is too small for a single block.
class MemoryLimitError : public ValueError {
 public:
  using ValueError::ValueError;
};

/// What a calibration gathers beside means and variances, and how it reads the images.
struct CalibrateOptions {
  bool covariances = false;      ///< of each block; 8 bytes per pair of neurons
  bool residual_stream = false;  ///< input of the first block, for sequential refits and sensitivities
  bool gradient = false;         ///< of the mean cross-entropy, for Criterion::snip; images need labels
  MemoryLimit memory = {};
  Index batch = 32;
  bool strict = false;  ///< stop at the first image that cannot be decoded
};

/// Images that a run has skipped.
struct SkippedImages {
  std::vector<io::ImageFailure> failures = {};  ///< images that cannot be decoded
  std::vector<std::string> duplicates = {};     ///< images with the content of an earlier image
};

/// How a run used memory under a memory limit.
struct MemoryUse {
  std::uint64_t limit = 0;
  int passes = 0;  ///< passes over the images
  std::int64_t bytes_in_files = 0;
};

/// The result of a calibration. A calibration file contains `calibration` and the covariances.
struct CalibrationResult {
  io::Calibration calibration = {};
  /// The covariances, one per block, if they have been spilled to files. `calibration` has no covariances
  /// then.
  std::vector<StoredCovariance> spilled = {};
  MemoryLimit memory = {};
  int passes = 1;        ///< passes over the images; 0 if the statistics come from a file
  Index images = 0;      ///< images that the last call observed, without those of earlier calls
  double seconds = 0.0;  ///< time that the last call took
  SkippedImages skipped = {};
  /// The residual stream of all images before the first block, if CalibrateOptions asks for it.
  StoredMatrix<float> residual_stream = {};
  /// The gradient with respect to each block's MLP, if CalibrateOptions asks for it.
  std::vector<Mlp<double>> gradient = {};

  bool has_covariances() const { return !spilled.empty() || !calibration.covariances.empty(); }
  /// The covariance of a block. If it has been spilled, it is read from its temporary file.
  VBP_FUNCTION Covariance<float> covariance(std::size_t block) const;
  /// What the result has for each block, in the words of the calibration file: "variance" or
  /// "variance,covariance".
  VBP_FUNCTION std::string moments() const;
  /// No value if there was no memory limit.
  VBP_FUNCTION std::optional<MemoryUse> memory_use() const;

  /// A range of all covariances. Each is read when its iterator is dereferenced.
  class Covariances {
   public:
    class Iterator {
     public:
      using iterator_concept = std::forward_iterator_tag;
      using difference_type = std::ptrdiff_t;
      using value_type = Covariance<float>;

      Iterator() = default;
      Iterator(const CalibrationResult& result, std::size_t block) : result_(&result), block_(block) {}
      VBP_FUNCTION value_type operator*() const;
      Iterator& operator++() {
        ++block_;
        return *this;
      }
      Iterator operator++(int) { return {*result_, block_++}; }
      bool operator==(const Iterator&) const = default;

     private:
      const CalibrationResult* result_ = nullptr;
      std::size_t block_ = 0;
    };

    explicit Covariances(const CalibrationResult& result) : result_(result) {}
    Iterator begin() const { return {result_, 0}; }
    Iterator end() const { return {result_, result_.calibration.names.size()}; }

   private:
    const CalibrationResult& result_;
  };
  Covariances covariances() const { return Covariances(*this); }
};

/// Runs the images through the model and observes its hidden activations. Skips an image with the content of
/// an earlier one. With a memory limit, it makes one pass over the images for each group of blocks whose
/// covariances fit into memory; the bits of the result are the same. Throws FileError if no image can be
/// decoded or an activation is not finite, MemoryLimitError, ValueError for missing labels, and Cancelled.
VBP_FUNCTION CalibrationResult calibrate(const AnyModel& model, const ImageSource& images,
                                         const CalibrateOptions& options = {}, Context context = {});

/// A calibration of this model that has not observed any image yet. Pass it to continue_calibration().
VBP_FUNCTION CalibrationResult begin_calibration(const AnyModel& model);

/// Adds to `result` the images that it has not observed yet. `result` must come from begin_calibration(),
/// calibrate() or load_statistics(), with the same option `covariances`. The bits are those of an
/// uninterrupted calibration. If this function throws Cancelled while `result.passes` is 1, `result` contains
/// all complete batches; it can be saved and continued. After any other error `result` must not be used.
VBP_FUNCTION void continue_calibration(CalibrationResult& result, const AnyModel& model,
                                       const ImageSource& images, const CalibrateOptions& options = {},
                                       Context context = {});

/// Reads a calibration file. Only residual_stream and memory of `options` are used. With a memory limit,
/// covariances spill one by one. The limit must be large enough for one block and, with residual_stream, for
/// the work on it. Throws FileError for a file of another model or preprocessing, and MemoryLimitError.
VBP_FUNCTION CalibrationResult load_statistics(const AnyModel& model, const std::filesystem::path& file,
                                               const CalibrateOptions& options = {});

/// Writes a calibration file atomically. Throws FileError.
VBP_FUNCTION void save_statistics(const std::filesystem::path& file, const CalibrationResult& result);
/// The same into an open file. The caller must commit the file.
VBP_FUNCTION void save_statistics(io::AtomicFile& file, const CalibrationResult& result);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/calibrate-inl.hpp"
#endif
