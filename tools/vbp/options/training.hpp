#pragma once
/// Options that finetune and train share.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "options/common.hpp"
#include "vbp/io/augmentation.hpp"
#include "vbp/train/trainer.hpp"

namespace tool {

/// The files that a run writes.
struct TrainingFiles {
  std::filesystem::path out, state, log, curve;
};

struct TrainingCommand {
  RunOptions run;
  JsonOption json;
  std::string data;
  std::string validate;
  std::string out;
  std::string log;
  std::string curve;
  std::string targets = "soft";
  std::string divergence = "teacher-student";
  vbp::TrainingOptions training;
  vbp::io::Augmentation augmentation;
  std::optional<vbp::Index> limit;
  std::optional<vbp::Index> validate_limit;
  bool resume = false;
  bool memory = false;

  /// Adds every option but those of the model and the teacher.
  void add_to(CLI::App& app);
  /// --targets, --divergence, --alpha, --beta and --temperature.
  void add_distillation_to(CLI::App& app);

  /// The training's options with what the others say of them. Throws ValueError for an augmentation out of
  /// range.
  vbp::TrainingOptions checked() const;
  TrainingFiles files() const;

 private:
  void add_files_to(CLI::App& app);
  void add_schedule_to(CLI::App& app);
  void add_augmentation_to(CLI::App& app);
  void add_limits_to(CLI::App& app);
};

/// Throws FileError unless all files can be written, differ, and are none of the inputs.
void require_writable(const TrainingFiles& files, const std::filesystem::path& json,
                      const std::vector<std::filesystem::path>& inputs);

}  // namespace tool
