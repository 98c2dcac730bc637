#pragma once
/// What finetune and train share: the options of a run, and the run.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common.hpp"
#include "vbp/io/augmentation.hpp"
#include "vbp/train/trainer.hpp"

namespace tool {

struct TrainCommand {
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
};

/// Trains `student` by `teacher`, of the same family, where there is one, and writes it; `inputs` are files
/// that must not be overwritten. With --memory it only says what the run would take.
void run_training(Checkpoint student, const std::optional<Checkpoint>& teacher, const TrainCommand& command,
                  const std::vector<std::filesystem::path>& inputs);

}  // namespace tool
