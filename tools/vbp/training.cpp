#include "training.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <unordered_set>
#include <utility>

#include "common/chart.hpp"
#include "trainer.hpp"

namespace tool {

namespace fs = std::filesystem;
using vbp::Index;

// ---- options ----

void TrainCommand::add_to(CLI::App& app) {
  run.batch = training.batch;
  const auto file = [&](const char* name, std::string& value, const char* what) {
    return app.add_option(name, value, what)->check(not_empty)->type_name("FILE");
  };
  const auto folder = [&](const char* name, std::string& value, const char* what) {
    return app.add_option(name, value, what)->check(not_empty)->type_name("DIR");
  };
  const auto count = [&](const char* name, Index& value, Index most, const char* what) {
    app.add_option(name, value, what)->check(whole_number(1, most))->type_name("N")->capture_default_str();
  };
  const auto number = [&](const char* name, double& value, const char* what) {
    app.add_option(name, value, what)->check(not_empty)->type_name("X")->capture_default_str();
  };
  folder("--data", data, "folder of training images, one sub-folder a class")->required();
  file("--out", out, "the trained model, written after every epoch")->required();
  folder("--validate", validate, "measure top-1 on this folder after every epoch");
  app.add_flag("--resume", resume, "go on with the run that --out belongs to, by its .state file");
  app.add_flag("--memory", memory, "only say what the run would take, with activations kept and recomputed");
  app.add_flag("--recompute", training.recompute,
               "recompute activations instead of keeping them: less memory, about a third more time");
  file("--log", log, "JSON lines, one a step and one an epoch; default: --out with .jsonl");
  file("--curve", curve, "picture of loss and top-1; default: --out with .svg");
  count("--epochs", training.epochs, 1000000, "passes over the data");
  count("--accumulate", training.accumulate, 65536, "batches to a step of the optimiser");
  number("--lr", training.learning_rate, "highest learning rate");
  number("--min-lr", training.minimum_learning_rate, "the rate that the cosine ends at");
  number("--warmup", training.warmup_epochs, "epochs over which the rate rises");
  number("--weight-decay", training.optimiser.weight_decay,
         "of weight matrices; biases, norms, positions and tokens have none");
  number("--layer-decay", training.optimiser.layer_decay,
         "factor of the learning rate from each block to the one before it");
  number("--clip", training.optimiser.clip_norm, "longest gradient; 0: no limit");
  number("--smoothing", training.label_smoothing, "label smoothing");
  number("--mixup", training.mixup, "mixup's alpha; 0: none");
  number("--average", training.average, "decay of a moving average of the weights; 0: none");
  number("--min-area", augmentation.min_area,
         "smallest part of the image that a random crop keeps; 1: no random crop");
  number("--flip", augmentation.flip, "probability of the mirror image");
  number("--jitter", augmentation.jitter, "how far brightness, contrast and saturation vary");
  number("--erase", augmentation.erase, "probability that a rectangle is erased");
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
  run.add_to(app);
  json.add_to(app);
}

void TrainCommand::add_distillation_to(CLI::App& app) {
  const auto number = [&](const char* name, double& value, const char* what) {
    app.add_option(name, value, what)
        ->check(not_empty)
        ->type_name("X")
        ->capture_default_str()
        ->needs("--teacher");
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

namespace {

// ---- what a run reads and writes ----

struct Files {
  fs::path out, state, log, curve;
};

Files files_of(const TrainCommand& command) {
  const fs::path out = command.out;
  const auto beside = [&](const char* extension) { return fs::path(out).replace_extension(extension); };
  return {out, beside(".state"), command.log.empty() ? beside(".jsonl") : fs::path(command.log),
          command.curve.empty() ? beside(".svg") : fs::path(command.curve)};
}

/// Throws unless all can be written, differ, and are none of the inputs.
void require_all_writable(const Files& files, const fs::path& json, const std::vector<fs::path>& inputs) {
  std::vector<fs::path> all{files.out, files.state, files.log, files.curve};
  if (!json.empty()) all.push_back(json);
  for (auto file = all.begin(); file != all.end(); ++file) {
    require_writable(*file, {});
    for (auto other = all.begin(); other != file; ++other) {
      if (same_file(*file, *other)) throw vbp::FileError(file->string(), "would be written twice");
    }
  }
  require_not_read(all, inputs);
}

/// Everything that the weights of a run depend on, to be compared when it is resumed.
Json settings_of(const TrainCommand& command, const Checkpoint& student,
                 const std::optional<Checkpoint>& teacher, const std::vector<vbp::io::ImageEntry>& images) {
  vbp::io::Hasher hasher;
  for (const vbp::io::ImageEntry& image : images) {
    hasher.update(image.group + "/" + image.path.filename().string() + " " + std::to_string(image.label) +
                  "\n");
  }
  const vbp::TrainingOptions& t = command.training;
  Json json;
  json["model"] = fingerprint(student.model).to_string();
  json["teacher"] = teacher ? fingerprint(teacher->model).to_string() : "none";
  json["preprocessing"] = student.preprocessing.to_string();
  json["data"] = hasher.finish().to_string();
  json["epochs"] = t.epochs;
  json["batch"] = t.batch;
  json["accumulate"] = t.accumulate;
  json["lr"] = t.learning_rate;
  json["min-lr"] = t.minimum_learning_rate;
  json["warmup"] = t.warmup_epochs;
  json["weight-decay"] = t.optimiser.weight_decay;
  json["layer-decay"] = t.optimiser.layer_decay;
  json["clip"] = t.optimiser.clip_norm;
  json["smoothing"] = t.label_smoothing;
  json["mixup"] = t.mixup;
  json["average"] = t.average;
  json["alpha"] = t.loss.cross_entropy;
  json["beta"] = t.loss.distillation;
  json["temperature"] = t.loss.temperature;
  json["targets"] = command.targets;
  json["divergence"] = command.divergence;
  json["min-area"] = command.augmentation.min_area;
  json["flip"] = command.augmentation.flip;
  json["jitter"] = command.augmentation.jitter;
  json["erase"] = command.augmentation.erase;
  json["seed"] = t.seed;
  return json;
}

void require_same(const Json& settings, const std::string& stored, const fs::path& file) {
  const Json before = Json::parse(stored, nullptr, false);
  if (!before.is_object())
    throw vbp::FileError(file.string(), "does not say with which options it was begun");
  for (const auto& [key, value] : settings.items()) {
    const Json was = before.contains(key) ? before[key] : Json();
    if (was != value) {
      throw vbp::FileError(file.string(),
                           "the run was begun with " + key + " " + was.dump() + ", not " + value.dump());
    }
  }
}

/// The log: appended line by line, cut back to where the state was saved when a run is resumed.
class Log {
 public:
  Log(const fs::path& path, std::uintmax_t keep) : path_(path) {
    std::error_code error;
    if (keep > 0 && fs::file_size(path, error) >= keep && !error) {
      fs::resize_file(path, keep);
    } else if (keep > 0) {
      throw vbp::FileError(path.string(), "is shorter than when the run was saved; it is needed to go on");
    } else {
      vbp::io::write_file_atomically(path, std::string_view());
    }
    stream_.open(path, std::ios::binary | std::ios::app);
    require_good();
  }

  void write(const Json& line) {
    stream_ << line.dump() << '\n';
    stream_.flush();
    require_good();
  }

  std::uintmax_t size() const { return fs::file_size(path_); }
  const fs::path& path() const noexcept { return path_; }

 private:
  void require_good() const {
    if (!stream_) throw vbp::FileError(path_.string(), "cannot be written");
  }

  fs::path path_;
  std::ofstream stream_;
};

// ---- the picture ----

/// Loss and top-1 of the epochs that the log holds.
void draw_curve(const fs::path& log, const fs::path& picture, Index epochs) {
  chart::Series loss{.label = "training loss", .colour = chart::colours::blue};
  chart::Series training{
      .label = "training images, augmented", .colour = chart::colours::grey, .marker = chart::Marker::square};
  chart::Series validation{.label = "validation images", .colour = chart::colours::vermilion};
  std::ifstream stream(log);
  for (std::string text; std::getline(stream, text);) {
    const Json line = Json::parse(text, nullptr, false);
    if (!line.is_object() || line.value("kind", "") != "epoch") continue;
    const double epoch = line["epoch"].get<double>();
    loss.points.push_back({epoch, line["loss"].get<double>()});
    training.points.push_back({epoch, 100.0 * line["top1"].get<double>()});
    if (line.contains("validation_top1")) {
      validation.points.push_back({epoch, 100.0 * line["validation_top1"].get<double>()});
    }
  }
  if (loss.points.empty()) return;
  const chart::Axis x{"epoch", 0.0, static_cast<double>(epochs),
                      std::max(1.0, std::ceil(chart::tick_step(static_cast<double>(epochs))))};
  std::vector<chart::Series> accuracies{training};
  if (!validation.points.empty()) accuracies.push_back(validation);
  const chart::Figure figure{
      .title = "Training",
      .subtitle = "Means over each epoch; the weights change while it runs.",
      .panels = {{.title = "Loss",
                  .x = x,
                  .y = chart::axis_around("loss", chart::values_of({loss}, &chart::Point::y)),
                  .series = {loss},
                  .legend = chart::Corner::top_right},
                 {.title = "Top-1",
                  .x = x,
                  .y = chart::axis_around("top-1, %", chart::values_of(accuracies, &chart::Point::y)),
                  .series = accuracies,
                  .legend = chart::Corner::bottom_right}}};
  vbp::io::write_file_atomically(picture, chart::to_svg(figure));
}

// ---- memory ----

void show_memory(const Checkpoint& student, const std::optional<Checkpoint>& teacher,
                 const TrainCommand& command) {
  const auto megabytes = [](double bytes) { return fixed(bytes / 1e6, 1); };
  const vbp::TrainingOptions& t = command.training;
  const auto weights = 4.0 * static_cast<double>(cost_of(student.model).parameters());
  const int copies = 2 + (t.accumulate > 1 ? 1 : 0) + (t.average > 0.0 ? 1 : 0);
  const auto teacher_weights =
      teacher ? 4.0 * static_cast<double>(cost_of(teacher->model).parameters()) : 0.0;
  Table table({"MB", "kept", "recomputed"});
  const auto row = [&](const char* what, double kept, double recomputed) {
    table.add({what, megabytes(kept), megabytes(recomputed)});
  };
  const auto kept = static_cast<double>(activation_bytes(student.model, t.batch, false));
  const auto recomputed = static_cast<double>(activation_bytes(student.model, t.batch, true));
  const double fixed_part = (copies + 2.0) * weights + teacher_weights;
  row("weights and gradients", copies * weights, copies * weights);
  row("the optimiser's two means", 2.0 * weights, 2.0 * weights);
  if (teacher) row("the teacher", teacher_weights, teacher_weights);
  row("activations of a batch", kept, recomputed);
  row("in all, without threads' scratch", fixed_part + kept, fixed_part + recomputed);
  table.print();
  Json report;
  report["batch"] = t.batch;
  report["weights_bytes"] = weights;
  report["activation_bytes"] = {{"kept", kept}, {"recomputed", recomputed}};
  report["bytes"] = {{"kept", fixed_part + kept}, {"recomputed", fixed_part + recomputed}};
  command.json.write(report);
}

// ---- the run ----

/// The images of an epoch in its own order.
std::vector<vbp::io::ImageEntry> shuffled(std::vector<vbp::io::ImageEntry> images, std::uint64_t seed,
                                          std::int64_t epoch) {
  vbp::Random random(vbp::derive_seed(seed, static_cast<std::uint64_t>(epoch), 1));
  random.shuffle(images);
  return images;
}

class Run {
 public:
  Run(Checkpoint student, const std::optional<Checkpoint>& teacher, const TrainCommand& command,
      const Files& files)
      : command_(command), files_(files), checkpoint_(std::move(student)) {
    images_ = evaluation_images(checkpoint_, command.data, command.limit);
    if (!command.validate.empty()) {
      validation_ = evaluation_images(checkpoint_, command.validate, command.validate_limit);
      validation_content_ = set_of(contents_of(validation_));
    }
    settings_ = settings_of(command, checkpoint_, teacher, images_);
    trainer_ = make_trainer(checkpoint_.model, teacher ? &teacher->model : nullptr, command.training,
                            static_cast<Index>(images_.size()));
    std::uintmax_t log_bytes = 0;
    if (command.resume) {
      if (!fs::exists(files.state)) {
        throw vbp::FileError(files.state.string(),
                             "there is no run to go on with: it never began or is complete");
      }
      const auto metadata = restore();
      log_bytes = std::stoull(metadata.at("log_bytes"));
    } else if (fs::exists(files.state)) {
      throw vbp::FileError(
          files.state.string(),
          "is a run that was not completed: --resume goes on with it, removing the file begins anew");
    }
    log_.emplace(files.log, log_bytes);
  }

  void run() {
    const Index epochs = command_.training.epochs;
    const auto total = epochs * static_cast<std::int64_t>(images_.size());
    bar_ = std::make_unique<ProgressBar>("training", "images", images_done());
    while (trainer_->progress().epoch < epochs) {
      run_epoch(total);
      finish_epoch();
    }
    bar_.reset();
    save_weights();
    std::error_code ignored;
    fs::remove(files_.state, ignored);
    report();
  }

 private:
  vbp::io::Metadata restore() {
    // The settings are compared first: another model does not fit the state's tensors.
    const vbp::io::SafetensorsFile file(files_.state);
    const auto find = [&](const char* key) {
      const auto found = file.metadata().find(key);
      if (found == file.metadata().end())
        throw vbp::FileError(files_.state.string(), std::string("has no ") + key);
      return found->second;
    };
    require_same(settings_, find("settings"), files_.state);
    if (find("log_bytes").find_first_not_of("0123456789") != std::string::npos ||
        find("log_bytes").size() > 18) {
      throw vbp::FileError(files_.state.string(), "has no valid log_bytes");
    }
    return trainer_->restore(files_.state);
  }

  std::int64_t images_done() {
    return trainer_->progress().epoch * static_cast<std::int64_t>(images_.size()) +
           trainer_->progress().position;
  }

  void run_epoch(std::int64_t total) {
    const std::int64_t epoch = trainer_->progress().epoch;
    const std::int64_t begun = trainer_->progress().position;
    auto images = shuffled(images_, command_.training.seed, epoch);
    images.erase(images.begin(),
                 images.begin() + std::min<std::int64_t>(begun, static_cast<std::int64_t>(images.size())));
    const auto transform = [&, epoch, begun](const vbp::io::Image& image, std::size_t index,
                                             std::span<float> out) {
      vbp::Random random(vbp::derive_seed(command_.training.seed + 1, static_cast<std::uint64_t>(epoch),
                                          static_cast<std::uint64_t>(begun) + index));
      vbp::io::training_transform(image, checkpoint_.preprocessing, command_.augmentation, random, out);
    };
    vbp::io::ImageStream stream(
        std::move(images), checkpoint_.preprocessing, transform,
        {.batch = command_.training.batch, .threads = command_.run.threads, .strict = command_.run.strict});
    const auto begin = std::chrono::steady_clock::now();
    Index seen = 0;
    vbp::io::ImageBatch read;
    const auto next = [&](vbp::TrainingBatch& batch) {
      if (!stream.next(read)) return false;
      require_apart(read);
      std::swap(batch.images, read.pixels);
      std::swap(batch.labels, read.labels);
      return true;
    };
    vbp::TrainingStep step;
    while (trainer_->step(next, step)) {
      vbp::TrainingProgress& progress = trainer_->progress();
      progress.position = begun + static_cast<std::int64_t>(stream.position());
      seen += step.images;
      seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      log_->write({{"kind", "step"},
                   {"epoch", epoch + 1},
                   {"step", progress.step},
                   {"loss", step.loss},
                   {"lr", step.learning_rate},
                   {"gradient_norm", step.gradient_norm}});
      const auto images_so_far = static_cast<double>(progress.images);
      bar_->show(images_done(), total,
                 "epoch " + std::to_string(epoch + 1) + "/" + std::to_string(command_.training.epochs) +
                     ", loss " + fixed(progress.loss / images_so_far, 4) + ", top-1 " +
                     fixed(100.0 * static_cast<double>(progress.correct) / images_so_far, 2) + " %");
      if (interrupted()) {
        save_state();
        throw Interrupted("interrupted in epoch " + std::to_string(epoch + 1) +
                          "; --resume goes on from there");
      }
    }
    images_per_second_ = static_cast<double>(seen) / std::max(seconds_, 1e-9);
    if (failures_.empty()) failures_ = stream.failures();
    if (trainer_->progress().images == 0) throw vbp::Error("not one of the training images could be decoded");
  }

  /// Throws if a training image is a validation image too.
  void require_apart(const vbp::io::ImageBatch& batch) const {
    if (validation_content_.empty()) return;
    for (std::size_t i = 0; i < batch.hashes.size(); ++i) {
      if (validation_content_.contains(batch.hashes[i].to_string())) {
        throw vbp::FileError(
            batch.paths[i].string(),
            "is a validation image too; validating on what was trained on flatters the result");
      }
    }
  }

  void finish_epoch() {
    const vbp::TrainingProgress progress = trainer_->progress();
    const auto images = static_cast<double>(progress.images);
    Json line{{"kind", "epoch"},
              {"epoch", progress.epoch + 1},
              {"loss", progress.loss / images},
              {"top1", static_cast<double>(progress.correct) / images},
              {"images_per_second", images_per_second_}};
    trainer_->end_epoch();
    save_weights();
    if (!validation_.empty()) {
      bar_.reset();
      const Evaluation evaluation = evaluate(checkpoint_, validation_, command_.run, "validating");
      line["validation_top1"] = evaluation.top1();
      bar_ = std::make_unique<ProgressBar>("training", "images", images_done());
    }
    log_->write(line);
    std::cout << "epoch " << progress.epoch + 1 << ": loss " << fixed(progress.loss / images, 4) << ", top-1 "
              << fixed(100.0 * static_cast<double>(progress.correct) / images, 2) << " %";
    if (line.contains("validation_top1")) {
      std::cout << ", validation " << fixed(100.0 * line["validation_top1"].get<double>(), 2) << " %";
    }
    std::cout << ", " << fixed(images_per_second_, 1) << " images/s" << std::endl;
    draw_curve(files_.log, files_.curve, command_.training.epochs);
    save_state();
    last_ = std::move(line);
  }

  void save_weights() {
    checkpoint_.model = trainer_->model();
    vbp::io::AtomicFile out(files_.out);
    save_checkpoint(out, checkpoint_);
    out.commit();
  }

  void save_state() {
    trainer_->save(files_.state,
                   {{"settings", settings_.dump()}, {"log_bytes", std::to_string(log_->size())}});
  }

  void report() {
    Json json;
    json["out"] = files_.out.string();
    json["log"] = files_.log.string();
    json["curve"] = files_.curve.string();
    json["images"] = images_.size();
    json["settings"] = settings_;
    json["threads"] = thread_count(command_.run);
    json["bytes"] = trainer_->bytes();
    json["last_epoch"] = last_;
    report_failures(failures_, json);
    command_.json.write(json);
    std::cout << left_out(failures_.size()) << "written: "
              << printable(files_.out.string() + ", " + files_.log.string() + ", " + files_.curve.string())
              << '\n';
  }

  TrainCommand command_;
  Files files_;
  Checkpoint checkpoint_;
  std::vector<vbp::io::ImageEntry> images_, validation_;
  std::unordered_set<std::string> validation_content_;
  Json settings_;
  std::unique_ptr<Trainer> trainer_;
  std::optional<Log> log_;
  std::unique_ptr<ProgressBar> bar_;
  std::vector<vbp::io::ImageFailure> failures_;
  Json last_;
  double seconds_ = 0.0;
  double images_per_second_ = 0.0;
};

}  // namespace

void run_training(Checkpoint student, const std::optional<Checkpoint>& teacher, const TrainCommand& command,
                  const std::vector<fs::path>& inputs) {
  TrainCommand checked = command;
  vbp::TrainingOptions& training = checked.training;
  training.batch = checked.run.batch;
  training.threads = checked.run.threads;
  training.loss.targets = checked.targets == "hard" ? vbp::TeacherTargets::hard : vbp::TeacherTargets::soft;
  training.loss.divergence = checked.divergence == "student-teacher" ? vbp::Divergence::student_teacher
                                                                     : vbp::Divergence::teacher_student;
  checked.augmentation.validate();
  if (checked.memory) return show_memory(student, teacher, checked);
  const Files files = files_of(checked);
  require_all_writable(files, checked.json.file, inputs);
  Run(std::move(student), teacher, checked, files).run();
}

}  // namespace tool
