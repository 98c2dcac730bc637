#include "commands/training.hpp"

#include <iostream>
#include <string>
#include <utility>

#include "options/common.hpp"
#include "options/files.hpp"
#include "options/images.hpp"
#include "report/images.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"
#include "report/training.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/pipeline/finetune.hpp"

namespace tool {

namespace {

namespace fs = std::filesystem;
using vbp::Index;

// ---- what a run is continued by ----

/// A hash of the training images' names and labels.
std::string hash_of(const std::vector<vbp::io::ImageEntry>& images) {
  vbp::io::Hasher hasher;
  for (const vbp::io::ImageEntry& image : images) {
    hasher.update(image.group + "/" + image.path.filename().string() + " " + std::to_string(image.label) +
                  "\n");
  }
  return hasher.finish().to_string();
}

/// Everything that the weights of a run depend on, to be compared when it is resumed.
Json settings_of(const TrainingCommand& command, const vbp::TrainingOptions& options,
                 const vbp::AnyModel& student, const std::optional<vbp::AnyModel>& teacher,
                 const std::vector<vbp::io::ImageEntry>& images) {
  Json json;
  json["model"] = student.fingerprint().to_string();
  json["teacher"] = teacher ? teacher->fingerprint().to_string() : "none";
  json["preprocessing"] = student.preprocessing().to_string();
  json["data"] = hash_of(images);
  json["epochs"] = options.epochs;
  json["batch"] = options.batch;
  json["accumulate"] = options.accumulate;
  json["lr"] = options.learning_rate;
  json["min-lr"] = options.minimum_learning_rate;
  json["warmup"] = options.warmup_epochs;
  json["weight-decay"] = options.optimiser.weight_decay;
  json["layer-decay"] = options.optimiser.layer_decay;
  json["clip"] = options.optimiser.clip_norm;
  json["smoothing"] = options.label_smoothing;
  json["mixup"] = options.mixup;
  json["average"] = options.average;
  json["alpha"] = options.loss.cross_entropy;
  json["beta"] = options.loss.distillation;
  json["temperature"] = options.loss.temperature;
  json["targets"] = command.targets;
  json["divergence"] = command.divergence;
  json["min-area"] = command.augmentation.min_area;
  json["flip"] = command.augmentation.flip;
  json["jitter"] = command.augmentation.jitter;
  json["erase"] = command.augmentation.erase;
  json["seed"] = options.seed;
  return json;
}

/// Throws FileError unless the run of the state was begun with these settings.
void require_same(const Json& settings, const std::string& stored, const fs::path& state) {
  const Json before = Json::parse(stored, nullptr, false);
  if (!before.is_object()) {
    throw vbp::FileError(state.string(), "does not say with which options the run was begun");
  }
  for (const auto& [key, value] : settings.items()) {
    const Json was = before.contains(key) ? before[key] : Json();
    if (was == value) continue;
    throw vbp::FileError(state.string(),
                         "the run was begun with " + key + " " + was.dump() + ", not " + value.dump());
  }
}

const std::string& metadata_value(const vbp::io::Metadata& metadata, const char* key, const fs::path& state) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) throw vbp::FileError(state.string(), std::string("has no ") + key);
  return found->second;
}

/// The length that the log had when the state was saved.
std::uintmax_t log_bytes_of(const vbp::io::Metadata& metadata, const fs::path& state) {
  const std::string& text = metadata_value(metadata, "log_bytes", state);
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) {
    throw vbp::FileError(state.string(), "has no valid log_bytes");
  }
  return std::stoull(text);
}

// ---- the run ----

struct TrainingInputs {
  TrainingFiles files;
  vbp::TrainingOptions training;
  ListedImages images;
  std::optional<ListedImages> validation;
  Json settings;
};

void require_state(const TrainingFiles& files, bool resume) {
  if (resume && !fs::exists(files.state)) {
    throw vbp::FileError(files.state.string(),
                         "there is no run to go on with: it never began or is complete");
  }
  if (!resume && fs::exists(files.state)) {
    throw vbp::FileError(
        files.state.string(),
        "is a run that was not completed: --resume goes on with it, removing the file begins anew");
  }
}

TrainingInputs validate(const TrainingCommand& command, const vbp::TrainingOptions& training,
                        const vbp::AnyModel& student, const std::optional<vbp::AnyModel>& teacher,
                        const std::vector<fs::path>& inputs) {
  const TrainingFiles files = command.files();
  require_writable(files, command.json.file, inputs);
  ListedImages images = list_labelled(command.data, student, command.limit);
  std::optional<ListedImages> validation;
  if (!command.validate.empty()) {
    validation = list_labelled(command.validate, student, command.validate_limit);
  }
  require_state(files, command.resume);
  Json settings = settings_of(command, training, student, teacher, images.entries);
  return {files, training, std::move(images), std::move(validation), std::move(settings)};
}

/// A run with its log: what happens at its events.
class TrainingWork {
 public:
  TrainingWork(const TrainingCommand& command, const TrainingInputs& inputs, const RunContext& context)
      : command_(command), inputs_(inputs), files_(inputs.files), context_(context) {}

  vbp::FinetuneResult run(vbp::AnyModel& student, const vbp::AnyModel* teacher) {
    try {
      vbp::FinetuneResult result =
          vbp::finetune(student, teacher, inputs_.images.source, options(), context_);
      write(student);
      std::error_code ignored;
      fs::remove(files_.state, ignored);
      return result;
    } catch (const vbp::Cancelled&) {
      if (!fs::exists(files_.state)) throw;
      throw Interrupted("interrupted in epoch " + std::to_string(epoch_) + "; --resume goes on from there");
    }
  }

 private:
  vbp::FinetuneOptions options() {
    vbp::FinetuneOptions options{
        .training = inputs_.training, .augmentation = command_.augmentation, .strict = command_.run.strict};
    if (inputs_.validation) options.validation = inputs_.validation->source;
    options.state = {.file = files_.state,
                     .resume = command_.resume,
                     .metadata = [this] { return metadata(); },
                     .check = [this](const vbp::io::Metadata& metadata) { check(metadata); }};
    options.events = {.begin = [this] { log_.emplace(files_.log, log_bytes_); },
                      .step = [this](const vbp::FinetuneStep& step) { log_step(step); },
                      .weights = [this](const vbp::AnyModel& model) { write(model); },
                      .epoch = [this](const vbp::FinetuneEpoch& epoch) { log_epoch(epoch); }};
    return options;
  }

  vbp::io::Metadata metadata() const {
    return {{"settings", inputs_.settings.dump()}, {"log_bytes", std::to_string(log_->size())}};
  }

  void check(const vbp::io::Metadata& metadata) {
    require_same(inputs_.settings, metadata_value(metadata, "settings", files_.state), files_.state);
    log_bytes_ = log_bytes_of(metadata, files_.state);
  }

  void write(const vbp::AnyModel& model) const { vbp::save_model(files_.out, model); }

  void log_step(const vbp::FinetuneStep& step) {
    epoch_ = step.epoch;
    log_->write(tool::json_of(step));
  }

  void log_epoch(const vbp::FinetuneEpoch& epoch) {
    log_->write(tool::json_of(epoch));
    context_.clear_progress();
    print_epoch(epoch);
    draw_curve(files_.log, files_.curve, inputs_.training.epochs);
  }

  const TrainingCommand& command_;
  const TrainingInputs& inputs_;
  const TrainingFiles& files_;
  const RunContext& context_;
  std::optional<TrainingLog> log_;
  std::uintmax_t log_bytes_ = 0;
  std::int64_t epoch_ = 1;
};

void report(const TrainingCommand& command, const TrainingInputs& inputs, const vbp::FinetuneResult& result,
            int threads) {
  const TrainingFiles& files = inputs.files;
  Json json;
  json["out"] = files.out.string();
  json["log"] = files.log.string();
  json["curve"] = files.curve.string();
  json["images"] = inputs.images.entries.size();
  json["settings"] = inputs.settings;
  json["threads"] = threads;
  json["bytes"] = result.bytes;
  json["last_epoch"] = result.last_epoch ? tool::json_of(*result.last_epoch) : Json();
  report_failures(result.failures, json);
  command.json.write(json);
  std::cout << left_out(result.failures.size()) << "written: "
            << printable(files.out.string() + ", " + files.log.string() + ", " + files.curve.string())
            << '\n';
}

}  // namespace

void run_training(vbp::AnyModel student, const std::optional<vbp::AnyModel>& teacher,
                  const TrainingCommand& command, const std::vector<fs::path>& inputs) {
  const vbp::TrainingOptions training = command.checked();
  const vbp::AnyModel* const by = teacher ? &*teacher : nullptr;
  if (command.memory) return report_memory(student, by, training, command.json);
  const TrainingInputs checked = validate(command, training, student, teacher, inputs);
  const RunContext context(command.run);
  const vbp::FinetuneResult result = TrainingWork(command, checked, context).run(student, by);
  context.clear_progress();
  report(command, checked, result, context->threads());
}

}  // namespace tool
