#pragma once
/// Statistics of a model's hidden activations, from images or from a file:
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

/// How much memory may hold what grows with the blocks and the images: covariances and residual streams. The
/// rest spills to unlinked temporary files.
struct MemoryLimit {
  std::optional<std::uint64_t> bytes = std::nullopt;  ///< none: no limit
  std::filesystem::path folder = ".";                 ///< of the temporary files
};

/// A memory limit that not even one block fits.
class MemoryLimitError : public ValueError {
 public:
  using ValueError::ValueError;
};

/// What a calibration gathers beyond means and variances, and how it goes through the images.
struct CalibrateOptions {
  bool covariances = false;      ///< 8 bytes a pair of neurons of a block
  bool residual_stream = false;  ///< what enters the first block: for sequential refits and sensitivities
  bool gradient = false;         ///< of the mean cross-entropy, for Criterion::snip; images need labels
  MemoryLimit memory = {};
  Index batch = 32;
  bool strict = false;  ///< stop at the first image that cannot be decoded
};

/// Images that a run left out.
struct SkippedImages {
  std::vector<io::ImageFailure> failures = {};  ///< they cannot be decoded
  std::vector<std::string> duplicates = {};     ///< they have the content of an image that came before
};

/// What a memory limit came to.
struct MemoryUse {
  std::uint64_t limit = 0;
  int passes = 0;  ///< over the images
  std::int64_t bytes_in_files = 0;
};

/// What a calibration has gathered. A calibration file holds `calibration` and the covariances.
struct CalibrationResult {
  io::Calibration calibration = {};
  /// The covariances, one a block, where they were spilled to files; those of `calibration` are missing then.
  std::vector<StoredCovariance> spilled = {};
  MemoryLimit memory = {};
  int passes = 1;        ///< how often the images were gone through; 0 for a file's statistics
  Index images = 0;      ///< seen by the last call, without those of a calibration that was continued
  double seconds = 0.0;  ///< that the last call took
  SkippedImages skipped = {};
  /// The residual stream of the images that enters the first block, where it was asked for.
  StoredMatrix<float> residual_stream = {};
  /// The gradient by each block's MLP, where it was asked for.
  std::vector<Mlp<double>> gradient = {};

  bool has_covariances() const { return !spilled.empty() || !calibration.covariances.empty(); }
  /// Of a block; read from its temporary file where it was spilled.
  VBP_FUNCTION Covariance<float> covariance(std::size_t block) const;
  /// What is kept of each block, as in the calibration file: "variance" or "variance,covariance".
  VBP_FUNCTION std::string moments() const;
  /// None without a memory limit.
  VBP_FUNCTION std::optional<MemoryUse> memory_use() const;

  /// A range of all covariances, each read when it is looked at.
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

/// Runs the images through the model and observes its hidden activations; an image whose content was seen
/// before is left out. With a memory limit it goes through the images again for each group of blocks whose
/// covariances fit; the bits are the same. Throws FileError if no image can be decoded or an activation is
/// not finite, MemoryLimitError, ValueError for missing labels, and Cancelled.
VBP_FUNCTION CalibrationResult calibrate(const AnyModel& model, const ImageSource& images,
                                         const CalibrateOptions& options = {}, Context context = {});

/// A calibration of this model that has seen no image yet, for continue_calibration.
VBP_FUNCTION CalibrationResult begin_calibration(const AnyModel& model);

/// Continues `result`, which begin_calibration, calibrate or load_statistics made with the same covariances
/// option, with the images that it has not seen. Ends with the same bits as an unbroken calibration. If it
/// throws Cancelled while `result.passes` is 1, `result` holds all whole batches and can be saved and
/// continued; after any other error it is not to be used.
VBP_FUNCTION void continue_calibration(CalibrationResult& result, const AnyModel& model,
                                       const ImageSource& images, const CalibrateOptions& options = {},
                                       Context context = {});

/// Reads a calibration file. Of `options` residual_stream and memory count: covariances spill one by one, and
/// the limit must hold a block and, with residual_stream, the work on it. Throws FileError for a file of
/// another model or preprocessing, and MemoryLimitError.
VBP_FUNCTION CalibrationResult load_statistics(const AnyModel& model, const std::filesystem::path& file,
                                               const CalibrateOptions& options = {});

/// Writes a calibration file, atomically. Throws FileError.
VBP_FUNCTION void save_statistics(const std::filesystem::path& file, const CalibrationResult& result);
/// The same into an open file, which is the caller's to commit.
VBP_FUNCTION void save_statistics(io::AtomicFile& file, const CalibrationResult& result);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/calibrate-inl.hpp"
#endif
