#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "commands/commands.hpp"
#include "commands/training.hpp"
#include "options/common.hpp"
#include "options/training.hpp"
#include "vbp/io/image_folder.hpp"

namespace tool {

namespace {

struct TrainOptions {
  std::string config;
  std::vector<std::string> settings;
  std::optional<double> layer_scale;
  TrainingCommand command;
};

/// The names of the sub-folders, which are the classes if the configuration names none.
std::vector<std::string> class_folders(const std::string& data) {
  std::vector<std::string> names;
  for (const auto& image : vbp::io::find_images(data)) {
    if (!image.group.empty() && (names.empty() || names.back() != image.group)) names.push_back(image.group);
  }
  if (names.empty()) throw vbp::FileError(data, "has no sub-folders, one a class");
  return names;
}

void run(const TrainOptions& options) {
  vbp::AnyModel student = vbp::untrained_model(options.config, parse_settings(options.settings));
  const vbp::ModelDescription description = student.description();
  if (description.channels != 3) throw vbp::FileError(options.config, "image files have 3 channels");
  if (description.classes == 0) student.set_class_names(class_folders(options.command.data));
  vbp::initialise(student, options.command.training.seed, options.layer_scale);
  run_training(std::move(student), std::nullopt, options.command, {options.config});
}

}  // namespace

void add_train(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("train", "train a model from nothing");
  const auto options = std::make_shared<TrainOptions>();
  vbp::TrainingOptions& training = options->command.training;
  training.epochs = 100;
  training.learning_rate = 1e-3;
  training.warmup_epochs = 5.0;
  training.optimiser.weight_decay = 0.05;
  training.label_smoothing = 0.1;
  options->command.augmentation = {.min_area = 0.35, .flip = 0.5};
  command
      .add_option("--config", options->config,
                  "the network's shape, a JSON object: image_size, patch_size, dim, depth, num_heads, ...; "
                  "with dims and depths a ConvNeXt's, with window_size too a Swin Transformer's")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  command.add_option("--set", options->settings, "a configuration value that overrides the file's")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command
      .add_option("--layer-scale", options->layer_scale,
                  "initial value of layer scales; default: 1e-5, of a ConvNeXt 1e-6")
      ->check(not_empty)
      ->type_name("X");
  options->command.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
