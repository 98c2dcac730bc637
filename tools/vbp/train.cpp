#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "trainer.hpp"
#include "training.hpp"

namespace tool {

namespace {

struct TrainOptions {
  std::string config;
  std::vector<std::string> settings;
  std::optional<double> layer_scale;
  TrainCommand command;
};

/// The names of the sub-folders, which are the classes where the configuration names none.
std::vector<std::string> class_folders(const std::string& data) {
  std::vector<std::string> names;
  for (const auto& image : vbp::io::find_images(data)) {
    if (!image.group.empty() && (names.empty() || names.back() != image.group)) names.push_back(image.group);
  }
  return names;
}

void run(const TrainOptions& options) {
  Checkpoint student = load_config(options.config, parse_settings(options.settings));
  const Facts facts = facts_of(student.model);
  if (facts.channels != 3) throw vbp::FileError(options.config, "image files have 3 channels");
  if (facts.classes == 0) {
    student.class_names = class_folders(options.command.data);
    if (student.class_names.empty())
      throw vbp::FileError(options.command.data, "has no sub-folders, one a class");
    set_classes(student.model, static_cast<vbp::Index>(student.class_names.size()));
  }
  initialise(student.model, options.command.training.seed, options.layer_scale);
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
  command.add_option("--set", options->settings, "a value of the configuration, before the file's")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command
      .add_option("--layer-scale", options->layer_scale,
                  "what layer scales begin with; default: 1e-5, of a ConvNeXt 1e-6")
      ->check(not_empty)
      ->type_name("X");
  options->command.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
