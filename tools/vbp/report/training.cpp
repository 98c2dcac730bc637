#include "report/training.hpp"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "common/chart.hpp"
#include "report/text.hpp"
#include "vbp/io/file.hpp"
#include "vbp/pipeline/training.hpp"

namespace tool {

namespace fs = std::filesystem;

// ---- the log ----

TrainingLog::TrainingLog(const fs::path& path, std::uintmax_t keep) : path_(path) {
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

void TrainingLog::write(const Json& line) {
  stream_ << line.dump() << '\n';
  stream_.flush();
  require_good();
}

void TrainingLog::require_good() const {
  if (!stream_) throw vbp::FileError(path_.string(), "cannot be written");
}

Json json_of(const vbp::FinetuneStep& step) {
  return {
      {"kind", "step"},         {"epoch", step.epoch},           {"step", step.step},
      {"loss", step.done.loss}, {"lr", step.done.learning_rate}, {"gradient_norm", step.done.gradient_norm}};
}

Json json_of(const vbp::FinetuneEpoch& epoch) {
  Json json{{"kind", "epoch"},
            {"epoch", epoch.epoch},
            {"loss", epoch.loss},
            {"top1", epoch.top1},
            {"images_per_second", epoch.images_per_second}};
  if (epoch.validation) json["validation_top1"] = epoch.validation->top1();
  return json;
}

void print_epoch(const vbp::FinetuneEpoch& epoch) {
  std::cout << "epoch " << epoch.epoch << ": loss " << fixed(epoch.loss, 4) << ", top-1 "
            << fixed(100.0 * epoch.top1, 2) << " %";
  if (epoch.validation) std::cout << ", validation " << fixed(100.0 * epoch.validation->top1(), 2) << " %";
  std::cout << ", " << fixed(epoch.images_per_second, 1) << " images/s" << std::endl;
}

// ---- the picture ----

namespace {

/// Loss and top-1 of every epoch of a log.
struct Curves {
  chart::Series loss{.label = "training loss", .colour = chart::colours::blue};
  chart::Series training{
      .label = "training images, augmented", .colour = chart::colours::grey, .marker = chart::Marker::square};
  chart::Series validation{.label = "validation images", .colour = chart::colours::vermilion};
};

Curves read_curves(const fs::path& log) {
  Curves curves;
  std::ifstream stream(log);
  for (std::string text; std::getline(stream, text);) {
    const Json line = Json::parse(text, nullptr, false);
    if (!line.is_object() || line.value("kind", "") != "epoch") continue;
    const double epoch = line["epoch"].get<double>();
    curves.loss.points.push_back({epoch, line["loss"].get<double>()});
    curves.training.points.push_back({epoch, 100.0 * line["top1"].get<double>()});
    if (line.contains("validation_top1")) {
      curves.validation.points.push_back({epoch, 100.0 * line["validation_top1"].get<double>()});
    }
  }
  return curves;
}

}  // namespace

void draw_curve(const fs::path& log, const fs::path& picture, vbp::Index epochs) {
  const Curves curves = read_curves(log);
  if (curves.loss.points.empty()) return;
  const chart::Axis x{"epoch", 0.0, static_cast<double>(epochs),
                      std::max(1.0, std::ceil(chart::tick_step(static_cast<double>(epochs))))};
  std::vector<chart::Series> accuracies{curves.training};
  if (!curves.validation.points.empty()) accuracies.push_back(curves.validation);
  const chart::Figure figure{
      .title = "Training",
      .subtitle = "Means over each epoch; the weights change while it runs.",
      .panels = {{.title = "Loss",
                  .x = x,
                  .y = chart::axis_around("loss", chart::values_of({curves.loss}, &chart::Point::y)),
                  .series = {curves.loss},
                  .legend = chart::Corner::top_right},
                 {.title = "Top-1",
                  .x = x,
                  .y = chart::axis_around("top-1, %", chart::values_of(accuracies, &chart::Point::y)),
                  .series = accuracies,
                  .legend = chart::Corner::bottom_right}}};
  vbp::io::write_file_atomically(picture, chart::to_svg(figure));
}

// ---- memory ----

void report_memory(const vbp::AnyModel& student, const vbp::AnyModel* teacher,
                   const vbp::TrainingOptions& options, const JsonOption& json_option) {
  const auto weight_bytes = [](const vbp::AnyModel& model) {
    return 4.0 * static_cast<double>(model.cost().parameters());
  };
  const double weights = weight_bytes(student);
  const double teacher_weights = teacher != nullptr ? weight_bytes(*teacher) : 0.0;
  const int copies = 2 + (options.accumulate > 1 ? 1 : 0) + (options.average > 0.0 ? 1 : 0);
  const auto kept = static_cast<double>(vbp::activation_bytes(student, options.batch, false));
  const auto recomputed = static_cast<double>(vbp::activation_bytes(student, options.batch, true));
  const double in_any_case = (copies + 2.0) * weights + teacher_weights;

  Table table({"MB", "kept", "recomputed"});
  const auto row = [&](const char* what, double with_kept, double with_recomputed) {
    table.add({what, fixed(with_kept / 1e6, 1), fixed(with_recomputed / 1e6, 1)});
  };
  row("weights and gradients", copies * weights, copies * weights);
  row("the optimiser's two means", 2.0 * weights, 2.0 * weights);
  if (teacher != nullptr) row("the teacher", teacher_weights, teacher_weights);
  row("activations of a batch", kept, recomputed);
  row("in all, without threads' scratch", in_any_case + kept, in_any_case + recomputed);
  table.print();
  Json json;
  json["batch"] = options.batch;
  json["weights_bytes"] = weights;
  json["activation_bytes"] = {{"kept", kept}, {"recomputed", recomputed}};
  json["bytes"] = {{"kept", in_any_case + kept}, {"recomputed", in_any_case + recomputed}};
  json_option.write(json);
}

}  // namespace tool
