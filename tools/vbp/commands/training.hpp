#pragma once
/// The run that finetune and train share.

#include <filesystem>
#include <optional>
#include <vector>

#include "options/training.hpp"
#include "vbp/pipeline/any_model.hpp"

namespace tool {

/// Trains `student` by `teacher`, of the same family, where there is one, and writes it. `inputs` are files
/// that must not be overwritten. With --memory it only says what the run would take.
void run_training(vbp::AnyModel student, const std::optional<vbp::AnyModel>& teacher,
                  const TrainingCommand& command, const std::vector<std::filesystem::path>& inputs);

}  // namespace tool
