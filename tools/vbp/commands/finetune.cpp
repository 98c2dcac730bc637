#include <filesystem>
#include <memory>

#include "commands/commands.hpp"
#include "commands/training.hpp"
#include "options/common.hpp"
#include "options/training.hpp"

namespace tool {

namespace {

struct FinetuneOptions {
  ModelOptions model;
  std::string teacher;
  TrainingCommand command;
};

/// The teacher, which sees what the student sees. Throws FileError if it does not fit the student.
vbp::AnyModel load_teacher(const std::string& file, const vbp::AnyModel& student) {
  vbp::AnyModel teacher = vbp::load_model(file, {.image_size = student.preprocessing().image_size});
  teacher.require_complete();
  const std::string family = student.description().family, other = teacher.description().family;
  if (other != family) {
    throw vbp::FileError(file, "is a " + other + "; the teacher of a " + family + " must be one");
  }
  if (teacher.preprocessing().mean != student.preprocessing().mean ||
      teacher.preprocessing().std != student.preprocessing().std) {
    throw vbp::FileError(file, "expects images of another mean or deviation than the student");
  }
  return teacher;
}

void run(FinetuneOptions options) {
  vbp::AnyModel student = options.model.load();
  student.require_complete();
  std::optional<vbp::AnyModel> teacher;
  std::vector<std::filesystem::path> inputs = vbp::files_of_model(options.model.file);
  if (options.teacher.empty()) {
    options.command.training.loss = {};
  } else {
    teacher = load_teacher(options.teacher, student);
    for (const auto& file : vbp::files_of_model(options.teacher)) inputs.push_back(file);
  }
  run_training(std::move(student), teacher, options.command, inputs);
}

}  // namespace

void add_finetune(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "finetune", "bring a pruned model's accuracy back, with its dense model as teacher");
  const auto options = std::make_shared<FinetuneOptions>();
  options->command.training.loss = {.cross_entropy = 0.7, .distillation = 0.3};
  options->command.augmentation = {.min_area = 0.5, .flip = 0.5};
  options->model.add_to(command);
  command
      .add_option("--teacher", options->teacher,
                  "the model to distil from, the dense one; without it labels alone teach")
      ->check(not_empty)
      ->type_name("FILE");
  options->command.add_to(command);
  options->command.add_distillation_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
