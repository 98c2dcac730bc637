#include <filesystem>
#include <memory>

#include "training.hpp"

namespace tool {

namespace {

struct FinetuneOptions {
  ModelOptions model;
  std::string teacher;
  TrainCommand command;
};

void run(FinetuneOptions options) {
  Checkpoint student = load(options.model);
  student.require_complete();
  std::optional<Checkpoint> teacher;
  std::vector<std::filesystem::path> inputs = files_of(options.model);
  if (options.teacher.empty()) {
    options.command.training.loss = {};
  } else {
    // The teacher sees what the student sees.
    ModelOptions files;
    files.file = options.teacher;
    files.image_size = student.preprocessing.image_size;
    teacher = load(files);
    teacher->require_complete();
    const std::string family = facts_of(student.model).family, other = facts_of(teacher->model).family;
    if (other != family) {
      throw vbp::FileError(options.teacher,
                           "is a " + other + "; the teacher of a " + family + " must be one");
    }
    if (teacher->preprocessing.mean != student.preprocessing.mean ||
        teacher->preprocessing.std != student.preprocessing.std) {
      throw vbp::FileError(options.teacher, "wants images of another mean or deviation than the student");
    }
    for (const std::filesystem::path& file : files_of(files)) inputs.push_back(file);
  }
  run_training(std::move(student), teacher, options.command, inputs);
}

}  // namespace

void add_finetune(CLI::App& app) {
  CLI::App& command =
      *app.add_subcommand("finetune", "bring a pruned model's accuracy back, by its dense model as teacher");
  const auto options = std::make_shared<FinetuneOptions>();
  options->command.training.loss = {.cross_entropy = 0.7, .distillation = 0.3};
  options->command.augmentation = {.min_area = 0.5, .flip = 0.5};
  options->model.add_to(command);
  command
      .add_option("--teacher", options->teacher,
                  "the model to distil from, the dense one; none: labels alone")
      ->check(not_empty)
      ->type_name("FILE");
  options->command.add_to(command);
  options->command.add_distillation_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
