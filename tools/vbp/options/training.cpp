#include "options/training.hpp"

#include "options/files.hpp"

namespace tool {

namespace fs = std::filesystem;
using vbp::Index;

namespace {

CLI::Option* add_number(CLI::App& app, const char* name, double& value, const char* what) {
  return app.add_option(name, value, what)->check(not_empty)->type_name("X")->capture_default_str();
}

void add_count(CLI::App& app, const char* name, Index& value, Index most, const char* what) {
  app.add_option(name, value, what)->check(whole_number(1, most))->type_name("N")->capture_default_str();
}

}  // namespace

void TrainingCommand::add_to(CLI::App& app) {
  run.batch = training.batch;
  add_files_to(app);
  add_schedule_to(app);
  add_augmentation_to(app);
  add_limits_to(app);
  run.add_to(app);
  json.add_to(app);
}

void TrainingCommand::add_files_to(CLI::App& app) {
  const auto file = [&](const char* name, std::string& value, const char* what) {
    return app.add_option(name, value, what)->check(not_empty)->type_name("FILE");
  };
  const auto folder = [&](const char* name, std::string& value, const char* what) {
    return app.add_option(name, value, what)->check(not_empty)->type_name("DIR");
  };
  folder("--data", data, "folder of training images, one sub-folder a class")->required();
  file("--out", out, "the trained model, written after every epoch")->required();
  folder("--validate", validate, "measure top-1 on this folder after every epoch");
  app.add_flag("--resume", resume, "continue the run that --out belongs to, by its .state file");
  app.add_flag("--memory", memory,
               "do not train, only say what memory it takes, with activations kept and recomputed");
  app.add_flag("--recompute", training.recompute,
               "recompute activations instead of keeping them: less memory, about a third more time");
  file("--log", log, "JSON lines, one for each step and each epoch; default: --out with .jsonl");
  file("--curve", curve, "picture of loss and top-1; default: --out with .svg");
}

void TrainingCommand::add_schedule_to(CLI::App& app) {
  add_count(app, "--epochs", training.epochs, 1000000, "passes over the data");
  add_count(app, "--accumulate", training.accumulate, 65536, "batches to a step of the optimiser");
  add_number(app, "--lr", training.learning_rate, "highest learning rate");
  add_number(app, "--min-lr", training.minimum_learning_rate, "the rate that the cosine ends at");
  add_number(app, "--warmup", training.warmup_epochs, "epochs over which the rate rises");
  add_number(app, "--weight-decay", training.optimiser.weight_decay,
             "of weight matrices; biases, norms, positions and tokens have none");
  add_number(app, "--layer-decay", training.optimiser.layer_decay,
             "factor of the learning rate from each block to the one before it");
  add_number(app, "--clip", training.optimiser.clip_norm, "longest gradient; 0: no limit");
  add_number(app, "--smoothing", training.label_smoothing, "label smoothing");
  add_number(app, "--mixup", training.mixup, "mixup's alpha; 0: none");
  add_number(app, "--average", training.average, "decay of a moving average of the weights; 0: none");
}

void TrainingCommand::add_augmentation_to(CLI::App& app) {
  add_number(app, "--min-area", augmentation.min_area,
             "smallest part of the image that a random crop keeps; 1: no random crop");
  add_number(app, "--flip", augmentation.flip, "probability of the mirror image");
  add_number(app, "--jitter", augmentation.jitter, "how far brightness, contrast and saturation vary");
  add_number(app, "--erase", augmentation.erase, "probability that a rectangle is erased");
}

void TrainingCommand::add_limits_to(CLI::App& app) {
  app.add_option("--seed", training.seed, "of everything random")
      ->check(whole_number(0))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--limit", limit, "train on N images, spread evenly over the classes, the first of each")
      ->check(whole_number(1))
      ->type_name("N");
  app.add_option("--validate-limit", validate_limit,
                 "validate on N images, spread evenly over the classes, the first of each")
      ->check(whole_number(1))
      ->type_name("N")
      ->needs("--validate");
}

void TrainingCommand::add_distillation_to(CLI::App& app) {
  const auto number = [&](const char* name, double& value, const char* what) {
    add_number(app, name, value, what)->needs("--teacher");
  };
  number("--alpha", training.loss.cross_entropy, "weight of the labels' cross-entropy");
  number("--beta", training.loss.distillation, "weight of the teacher");
  number("--temperature", training.loss.temperature, "of student and teacher, for soft targets");
  app.add_option("--targets", targets, "soft: the teacher's distribution; hard: its class")
      ->check(CLI::IsMember({"soft", "hard"}))
      ->capture_default_str()
      ->needs("--teacher");
  app.add_option("--divergence", divergence, "KL(teacher || student) or KL(student || teacher)")
      ->check(CLI::IsMember({"teacher-student", "student-teacher"}))
      ->capture_default_str()
      ->needs("--teacher");
}

vbp::TrainingOptions TrainingCommand::checked() const {
  vbp::TrainingOptions options = training;
  options.batch = run.batch;
  options.loss.targets = targets == "hard" ? vbp::TeacherTargets::hard : vbp::TeacherTargets::soft;
  options.loss.divergence =
      divergence == "student-teacher" ? vbp::Divergence::student_teacher : vbp::Divergence::teacher_student;
  augmentation.validate();
  return options;
}

TrainingFiles TrainingCommand::files() const {
  const auto beside = [&](const char* extension) { return fs::path(out).replace_extension(extension); };
  return {out, beside(".state"), log.empty() ? beside(".jsonl") : fs::path(log),
          curve.empty() ? beside(".svg") : fs::path(curve)};
}

void require_writable(const TrainingFiles& files, const fs::path& json, const std::vector<fs::path>& inputs) {
  std::vector<fs::path> all{files.out, files.state, files.log, files.curve};
  if (!json.empty()) all.push_back(json);
  for (auto file = all.begin(); file != all.end(); ++file) {
    require_writable(*file, fs::path());
    for (auto other = all.begin(); other != file; ++other) {
      if (same_file(*file, *other)) throw vbp::FileError(file->string(), "would be written twice");
    }
  }
  require_not_read(all, inputs);
}

}  // namespace tool
