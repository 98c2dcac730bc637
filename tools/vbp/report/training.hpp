#pragma once
/// What a training run leaves beside the model: the log, the picture of it, and what it says of memory.

#include <cstdint>
#include <filesystem>
#include <fstream>

#include "options/common.hpp"
#include "vbp/pipeline/finetune.hpp"

namespace tool {

/// The log: a JSON line for each step and each epoch.
class TrainingLog {
 public:
  /// Begins a log, or cuts an old one back to its first `keep` bytes, which it had when the run's state was
  /// saved. Throws FileError.
  TrainingLog(const std::filesystem::path& path, std::uintmax_t keep);

  void write(const Json& line);
  std::uintmax_t size() const { return std::filesystem::file_size(path_); }

 private:
  void require_good() const;

  std::filesystem::path path_;
  std::ofstream stream_;
};

Json json_of(const vbp::FinetuneStep& step);
Json json_of(const vbp::FinetuneEpoch& epoch);

/// Prints one epoch to stdout.
void print_epoch(const vbp::FinetuneEpoch& epoch);

/// Draws loss and top-1 of the epochs that the log holds, as SVG.
void draw_curve(const std::filesystem::path& log, const std::filesystem::path& picture, vbp::Index epochs);

/// Prints, and writes where it is asked for, the memory that a run takes. A null teacher is none.
void report_memory(const vbp::AnyModel& student, const vbp::AnyModel* teacher,
                   const vbp::TrainingOptions& options, const JsonOption& json);

}  // namespace tool
