#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/random.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/kernels/entry.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/pipeline/inference.hpp"
#include "vbp/pipeline/latency.hpp"
#include "vbp/pipeline/version.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION Latency latency_of(std::vector<double>& milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  return {milliseconds.front(), milliseconds[milliseconds.size() / 2]};
}

VBP_FUNCTION Matrix<float> random_images(Index count, Index elements) {
  Random random(1);
  Matrix<float> images(count, elements);
  for (Index column = 0; column < elements; ++column) {
    for (Index row = 0; row < count; ++row) images(row, column) = static_cast<float>(random.normal());
  }
  return images;
}

namespace detail {

// ---- two models in turn ----

/// Whether the median is known to 1 %: the values sqrt(n) ranks to either side of the middle enclose the
/// median of all possible runs in 95 of 100 cases.
VBP_FUNCTION bool median_is_settled(std::vector<double> values) {
  constexpr std::size_t fewest = 30;
  if (values.size() < fewest) return false;
  const std::size_t middle = values.size() / 2;
  const auto ranks = static_cast<std::size_t>(std::sqrt(static_cast<double>(values.size())));
  std::sort(values.begin(), values.end());
  return values[middle + ranks] <= 1.01 * values[middle - ranks];
}

VBP_FUNCTION double forward_milliseconds(AnyInference& inference, const Matrix<float>& images) {
  const auto begin = std::chrono::steady_clock::now();
  inference(images);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace detail

VBP_FUNCTION LatencyComparison measure_latency(const AnyModel& dense_model, const AnyModel& pruned_model,
                                               const MeasureOptions& options, Context context) {
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t fewest_turns = 5, most_turns = 1000;
  const std::unique_ptr<AnyInference> dense = make_inference(dense_model, context);
  const std::unique_ptr<AnyInference> pruned = make_inference(pruned_model, context);
  const Matrix<float> images = random_images(options.batch, dense_model.description().image_elements);
  // The first run warms the caches and does not count.
  detail::forward_milliseconds(*dense, images);
  detail::forward_milliseconds(*pruned, images);
  std::vector<double> dense_times, pruned_times, ratios;
  const auto begin = Clock::now();
  while (ratios.size() < fewest_turns ||
         (ratios.size() < most_turns && Clock::now() - begin < options.limit &&
          !detail::median_is_settled(ratios))) {
    context.require_not_cancelled();
    dense_times.push_back(detail::forward_milliseconds(*dense, images));
    pruned_times.push_back(detail::forward_milliseconds(*pruned, images));
    ratios.push_back(pruned_times.back() / dense_times.back());
  }
  return {latency_of(dense_times), latency_of(pruned_times), latency_of(ratios).median};
}

namespace detail {

// ---- latency over width ----

/// A line is fitted through the times at so many widths.
inline constexpr Index kMeasuredWidths = 7;

/// About evenly spaced multiples of the kernels' panel, from one panel to the widest block.
VBP_FUNCTION std::vector<Index> widths_to_measure(const std::vector<Index>& hidden_widths) {
  const Index panel = kernels::PackedWeight<float>::panel_columns();
  const Index widest = *std::max_element(hidden_widths.begin(), hidden_widths.end());
  const Index panels = (widest + panel - 1) / panel;
  std::vector<Index> widths;
  for (Index i = 0; i < kMeasuredWidths; ++i) {
    const Index width = panel * (1 + i * (panels - 1) / (kMeasuredWidths - 1));
    if (widths.empty() || width > widths.back()) widths.push_back(width);
  }
  return widths;
}

/// The matrix cut, or filled up with zeros: the values of weights change no time.
template <class T>
Matrix<T> resized(const Matrix<T>& from, Index rows, Index columns) {
  Matrix<T> to = Matrix<T>::Zero(rows, columns);
  const Index r = std::min(rows, from.rows()), c = std::min(columns, from.cols());
  to.topLeftCorner(r, c) = from.topLeftCorner(r, c);
  return to;
}

/// The model with other hidden widths.
VBP_FUNCTION AnyModel with_hidden_widths(AnyModel model, const std::vector<Index>& widths) {
  const auto mlps = model.mlps();
  for (std::size_t b = 0; b < mlps.size(); ++b) {
    Mlp<float>& mlp = *mlps[b];
    mlp.fc1.weight = resized(mlp.fc1.weight, widths[b], mlp.fc1.weight.cols());
    mlp.fc1.bias.setZero(widths[b]);
    mlp.fc2.weight = resized(mlp.fc2.weight, mlp.fc2.weight.rows(), widths[b]);
  }
  return model;
}

VBP_FUNCTION LatencyComparison measure_widths(const AnyModel& dense, const std::vector<Index>& widths,
                                              Index batch, const Context& context) {
  return measure_latency(dense, with_hidden_widths(dense, widths),
                         {.batch = batch, .limit = kDecisiveMeasurement}, context);
}

VBP_FUNCTION LatencyTable measure_latency_table(const AnyModel& dense, const std::vector<Index>& widths,
                                                Index batch, const Context& context) {
  LatencyTable table{.dense_ms = std::numeric_limits<double>::infinity(), .widths = widths};
  const std::vector<Index> own = dense.description().hidden_widths;
  ProgressUpdate update{
      .task = "measuring widths", .unit = "widths", .total = static_cast<std::int64_t>(widths.size())};
  for (const Index width : widths) {
    update.done = static_cast<std::int64_t>(table.shares.size());
    context.report(update);
    const std::vector<Index> all(own.size(), width);
    const LatencyComparison times = measure_widths(dense, all, batch, context);
    // The ratio of a model to itself is known; its noise would be in all shares.
    table.shares.push_back(all == own ? 1.0 : times.ratio);
    table.dense_ms = std::min(table.dense_ms, times.dense.median);
  }
  update.done = update.total;
  context.report(update);
  return table;
}

/// The line of least squares at the same widths. The kernels' work is linear in the width. Of two widths
/// whose times are off by a percent either way, the cheapest plan would choose the one and avoid the other in
/// every block.
template <class T>
std::vector<T> fitted_line(const std::vector<Index>& widths, const std::vector<T>& times) {
  const auto count = static_cast<Index>(widths.size());
  Vector<T> x(count);
  for (Index i = 0; i < count; ++i) x(i) = static_cast<T>(widths[static_cast<std::size_t>(i)]);
  const Eigen::Map<const Vector<T>> y(times.data(), count);
  const Vector<T> deviation = x.array() - x.mean();
  const T spread = deviation.squaredNorm();
  // Wider is never faster.
  const T slope = spread > T(0) ? std::max(T(0), deviation.dot(y) / spread) : T(0);
  const Vector<T> line = y.mean() + slope * deviation.array();
  return {line.begin(), line.end()};
}

// ---- the table's file ----

/// The CPU's name as the system gives it, without control characters; empty where it does not.
VBP_FUNCTION std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (!line.starts_with("model name") || colon == std::string::npos) continue;
    std::string name = line.substr(colon + 2);
    std::replace_if(
        name.begin(), name.end(), [](char letter) { return letter == '\t' || letter == '\r'; }, ' ');
    return name;
  }
  return "";
}

// Json is nlohmann::ordered_json where text is written and nlohmann::json where it is read. As a template
// parameter, it keeps the library's many overloads from being compiled where the header is read but no
// function called.

/// The JSON text of everything that the times depend on. Another layout of the file is another version.
template <class Json>
std::string latency_key(const VisionTransformer<float>& model, const std::vector<Index>& hidden_widths,
                        Index batch, const Context& context) {
  const VitConfig& config = model.config;
  return Json{{"version", 2},
              {"vbp", kVersion},
              {"cpu", cpu_name()},
              {"hardware_threads", std::thread::hardware_concurrency()},
              {"kernels", kernels::architecture().name},
              {"threads", context.threads()},
              {"batch", batch},
              {"dim", config.dim},
              {"heads", config.heads},
              {"tokens", config.tokens()},
              {"patch_elements", config.patch_elements()},
              {"outputs", config.outputs()},
              {"activation", config.activation == Activation::gelu ? "gelu" : "gelu_tanh"},
              {"hidden_widths", hidden_widths}}
      .dump();
}

/// $XDG_CACHE_HOME/vbp/latency-<hash of the key>.json, or below ~/.cache; empty where there is neither.
VBP_FUNCTION std::filesystem::path latency_cache_file(const std::string& key) {
  const auto path_in = [](const char* variable) {
    const char* const text = std::getenv(variable);
    return std::filesystem::path(text == nullptr ? "" : text);
  };
  std::filesystem::path folder = path_in("XDG_CACHE_HOME");
  // The XDG Base Directory Specification says to ignore relative paths.
  if (!folder.is_absolute()) folder = path_in("HOME") / ".cache";
  if (!folder.is_absolute()) return {};
  const auto hash = io::hash_bytes(std::as_bytes(std::span(key)));
  return folder / "vbp" / ("latency-" + hash.to_string() + ".json");
}

/// Whether a number is a time or a share that a measurement can have given; else the table is broken.
template <class Json>
bool plausible_latency(const Json& number) {
  return number.is_number() && number.template get<double>() > 1e-9 && number.template get<double>() < 1e9;
}

/// The plans of a table; none if they are not plans of a model of so many blocks.
template <class Json>
std::optional<std::map<std::vector<Index>, double>> read_latency_plans(const Json& list, std::size_t blocks) {
  if (!list.is_array()) return std::nullopt;
  std::map<std::vector<Index>, double> plans;
  for (const auto& plan : list) {
    if (!plan.is_object()) return std::nullopt;
    const auto widths = plan.value("widths", Json());
    const auto share = plan.value("share", Json());
    const auto whole = [](const Json& width) { return width.is_number_integer(); };
    if (!widths.is_array() || widths.size() != blocks || !std::all_of(widths.begin(), widths.end(), whole) ||
        !plausible_latency(share)) {
      return std::nullopt;
    }
    plans[widths.template get<std::vector<Index>>()] = share.template get<double>();
  }
  return plans;
}

/// The table that a file's JSON holds; none if it is broken or of something else.
template <class Json>
std::optional<LatencyTable> parse_latency_table(const Json& table, const Json& key,
                                                const std::vector<Index>& widths) {
  if (!table.is_object() || table.value("key", Json()) != key ||
      table.value("widths", Json()) != Json(widths)) {
    return std::nullopt;
  }
  const auto dense_ms = table.value("dense_ms", Json());
  const auto shares = table.value("shares", Json());
  const auto plans = read_latency_plans(table.value("plans", Json()), key["hidden_widths"].size());
  const auto plausible = [](const Json& number) { return plausible_latency(number); };
  if (!plausible(dense_ms) || !shares.is_array() || shares.size() != widths.size() ||
      !std::all_of(shares.begin(), shares.end(), plausible) || !plans) {
    return std::nullopt;
  }
  return LatencyTable{dense_ms.template get<double>(), widths, shares.template get<std::vector<double>>(),
                      *plans};
}

template <class Json>
std::optional<LatencyTable> parse_latency_text(std::string_view text, const std::string& key,
                                               const std::vector<Index>& widths) {
  // Sorted objects: the order of the keys says nothing.
  return parse_latency_table(Json::parse(text, nullptr, false), Json::parse(key), widths);
}

template <class Json>
std::string latency_text(const LatencyTable& table, const std::string& key) {
  Json plans = Json::array();
  for (const auto& [widths, share] : table.plans) plans.push_back({{"widths", widths}, {"share", share}});
  return Json{{"key", Json::parse(key)},
              {"dense_ms", table.dense_ms},
              {"widths", table.widths},
              {"shares", table.shares},
              {"plans", plans}}
      .dump();
}

/// The table in a file; none if the file is missing, broken or of something else.
VBP_FUNCTION std::optional<LatencyTable> read_latency_table(const std::filesystem::path& path,
                                                            const std::string& key,
                                                            const std::vector<Index>& widths) {
  constexpr std::size_t most_bytes = std::size_t{1} << 20;  // thousands of plans: then the table begins anew
  try {
    const io::MappedFile file(path);
    if (file.bytes().size() > most_bytes) return std::nullopt;
    const auto* const text = reinterpret_cast<const char*>(file.bytes().data());
    return parse_latency_text<nlohmann::json>({text, file.bytes().size()}, key, widths);
  } catch (const FileError&) {
    return std::nullopt;
  }
}

}  // namespace detail

VBP_FUNCTION LatencyModel::LatencyModel(const AnyModel& dense, LatencyTableOptions options, Context context)
    : dense_(dense), options_(std::move(options)), context_(std::move(context)) {
  const ModelDescription description = dense.description();
  const auto* const vit = dense.get_if<VisionTransformer<float>>();
  if (vit == nullptr) {
    throw ValueError("a latency budget is for models whose blocks are all alike, not for a " +
                     description.family);
  }
  blocks_ = static_cast<double>(description.blocks.size());
  const std::vector<Index> widths = detail::widths_to_measure(description.hidden_widths);
  key_ =
      detail::latency_key<nlohmann::ordered_json>(*vit, description.hidden_widths, options_.batch, context_);
  const bool named = !options_.file.empty();
  file_ = named ? options_.file : detail::latency_cache_file(key_);
  std::error_code error;
  const bool exists = !options_.remeasure && !file_.empty() && std::filesystem::exists(file_, error);
  std::optional<LatencyTable> table = exists ? detail::read_latency_table(file_, key_, widths) : std::nullopt;
  if (named && exists && !table) {
    throw FileError(
        file_.string(),
        "is no table of the latencies of this model, batch and number of threads on this machine; to replace "
        "it, measure again (vbp prune --latency-fresh)");
  }
  // Before the long work: a named file that cannot be written is an error.
  if (named) const io::AtomicFile attempt(file_);
  if (table) {
    table_ = std::move(*table);
  } else {
    table_ = detail::measure_latency_table(dense, widths, options_.batch, context_);
    write();
  }
  curve_ = {widths, detail::fitted_line(widths, table_.shares)};
  // The dense model's share is 1 by definition, whatever the noise of its measurement was.
  double whole = 0.0;
  for (const Index width : description.hidden_widths) whole += block_share(width);
  for (double& time : curve_.times) time /= whole;
}

VBP_FUNCTION void LatencyModel::write() const {
  if (file_.empty()) return;
  try {
    std::error_code error;
    if (options_.file.empty()) std::filesystem::create_directories(file_.parent_path(), error);
    io::write_file_atomically(file_, detail::latency_text<nlohmann::ordered_json>(table_, key_) + "\n");
  } catch (const FileError&) {
    // A cache that cannot be written is done without.
    if (!options_.file.empty()) throw;
  }
}

VBP_FUNCTION double LatencyModel::block_share(Index width) const {
  // The kernels compute whole vectors of the last panel.
  const Index vector = kernels::architecture().register_bytes / static_cast<Index>(sizeof(float));
  return curve_((width + vector - 1) / vector * vector) / blocks_;
}

VBP_FUNCTION double LatencyModel::measured_share(const PruningPlan& plan) {
  std::vector<Index> widths;
  for (const PruningPlan::Block& block : plan.blocks) widths.push_back(block.kept_width());
  const auto found = table_.plans.find(widths);
  if (found != table_.plans.end()) return found->second;
  context_.report({.task = "measuring the plan", .unit = "plans", .done = 0, .total = 1});
  const double share = detail::measure_widths(dense_, widths, options_.batch, context_).ratio;
  table_.plans.emplace(widths, share);
  write();
  return share;
}

}  // namespace vbp::inline VBP_ABI
