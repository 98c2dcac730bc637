#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "options/files.hpp"
#include "report/images.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"
#include "vbp/pipeline/classify.hpp"
#include "vbp/pipeline/image_folder.hpp"

namespace tool {

namespace {

struct PredictOptions {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  std::vector<std::string> images;
  vbp::Index top = 5;
};

/// What the model sees in one image.
struct Prediction {
  std::string file;
  std::vector<vbp::ClassScore> classes;
};

struct Predictions {
  std::vector<Prediction> images;
  std::vector<vbp::io::ImageFailure> failures;
};

vbp::AnyModel validate(const PredictOptions& options) {
  require_writable({}, options.json.file);
  require_not_read({options.json.file}, vbp::files_of_model(options.model.file));
  require_not_read({options.json.file}, {options.images.begin(), options.images.end()});
  vbp::AnyModel model = options.model.load();
  model.require_complete();
  if (model.description().classes == 0) {
    throw vbp::FileError(options.model.file, "has no classification head, so that there are no classes");
  }
  return model;
}

Predictions predict(const PredictOptions& options, const vbp::AnyModel& model, const RunContext& context) {
  Predictions predictions;
  std::vector<vbp::io::ImageEntry> entries;
  for (const std::string& file : options.images) entries.push_back({.path = file, .label = -1, .group = ""});
  const auto images = vbp::image_files(std::move(entries))
                          .pass({.preprocessing = model.preprocessing(),
                                 .batch = options.run.batch,
                                 .strict = options.run.strict},
                                context);
  const auto inference = vbp::make_inference(model, context);
  vbp::ProgressUpdate update{
      .task = "predicting", .unit = "images", .total = static_cast<std::int64_t>(options.images.size())};
  for (vbp::io::ImageBatch batch; images->next(batch);) {
    context->require_not_cancelled();
    auto classes = vbp::classify(model, *inference, batch.pixels, {.top = options.top});
    for (std::size_t i = 0; i < classes.size(); ++i) {
      predictions.images.push_back({batch.paths[i].string(), std::move(classes[i])});
    }
    update.done = images->position();
    context->report(update);
  }
  predictions.failures = images->failures();
  return predictions;
}

void print(const Predictions& predictions) {
  Table table({"image", "class", "name", "score"}, 3);
  for (const Prediction& image : predictions.images) {
    for (const vbp::ClassScore& seen : image.classes) {
      const bool first = &seen == &image.classes.front();
      table.add({first ? image.file : "", std::to_string(seen.index), seen.name,
                 fixed(100.0 * seen.score, 2) + " %"});
    }
  }
  table.print();
}

void report(const PredictOptions& options, const Predictions& predictions) {
  Json json;
  json["model"] = options.model.file;
  json["images"] = Json::array();
  for (const Prediction& image : predictions.images) {
    Json classes = Json::array();
    for (const vbp::ClassScore& seen : image.classes) {
      classes.push_back({{"class", seen.index}, {"name", seen.name}, {"score", seen.score}});
    }
    json["images"].push_back({{"file", image.file}, {"classes", classes}});
  }
  if (!predictions.images.empty()) print(predictions);
  std::cout << left_out(predictions.failures.size()) << std::flush;
  report_failures(predictions.failures, json);
  options.json.write(json);
}

void run(const PredictOptions& options) {
  const vbp::AnyModel model = validate(options);
  const RunContext context(options.run);
  const Predictions predictions = predict(options, model, context);
  context.clear_progress();
  report(options, predictions);
  if (!predictions.failures.empty()) throw ReportedFailure();
}

}  // namespace

void add_predict(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("predict", "the most likely classes of images, with their scores");
  const auto options = std::make_shared<PredictOptions>();
  options->model.add_to(command);
  command.add_option("IMAGE", options->images, "image files, JPEG or PNG")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  command.add_option("--top", options->top, "classes to show of each image, at most")
      ->check(whole_number(1))
      ->capture_default_str()
      ->type_name("N");
  options->run.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
