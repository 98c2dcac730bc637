#include "latency.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <span>
#include <thread>
#include <utility>

#include "vbp/io/hash.hpp"
#include "vbp/kernels/peak.hpp"

namespace tool {

namespace fs = std::filesystem;
using vbp::Index;

namespace {

/// Of which a line is fitted through the times.
constexpr Index kPoints = 7;

/// About evenly spaced multiples of the kernels' panel, from one panel to the widest block.
std::vector<Index> measured_widths(const vbp::VitConfig& config) {
  const auto panel = static_cast<Index>(vbp::kernels::table<float>().panel);
  const Index widest = *std::max_element(config.hidden_widths.begin(), config.hidden_widths.end());
  const Index panels = (widest + panel - 1) / panel;
  std::vector<Index> widths;
  for (Index i = 0; i < kPoints; ++i) {
    const Index width = panel * (1 + i * (panels - 1) / (kPoints - 1));
    if (widths.empty() || width > widths.back()) widths.push_back(width);
  }
  return widths;
}

/// The model with other widths, cut or filled up with zeros: what the values are changes no time.
Model with_widths(Model model, const std::vector<Index>& widths) {
  const auto resized = [](const auto& from, Index rows, Index columns) {
    vbp::Matrix<float> to = vbp::Matrix<float>::Zero(rows, columns);
    const Index r = std::min(rows, from.rows()), c = std::min(columns, from.cols());
    to.topLeftCorner(r, c) = from.topLeftCorner(r, c);
    return to;
  };
  const auto mlps = mlps_of(model);
  for (std::size_t b = 0; b < mlps.size(); ++b) {
    vbp::Mlp<float>& mlp = *mlps[b];
    mlp.fc1.weight = resized(mlp.fc1.weight, widths[b], mlp.fc1.weight.cols());
    mlp.fc1.bias = vbp::Vector<float>::Zero(widths[b]);
    mlp.fc2.weight = resized(mlp.fc2.weight, mlp.fc2.weight.rows(), widths[b]);
  }
  update_widths(model);
  return model;
}

/// Beside the dense model for as long as shares take to be known.
Comparison measure_widths(const Model& dense, const std::vector<Index>& widths, const RunOptions& run,
                          Index batch) {
  return measure(dense, with_widths(dense, widths), run, batch, kThorough);
}

/// As the kernel calls it; empty where it does not say.
std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != line.npos) return line.substr(colon + 2);
  }
  return "";
}

/// Everything that the times depend on. Another layout of the file is another version.
Json key_of(const vbp::VitConfig& config, const RunOptions& run, Index batch) {
  return {{"version", 2},
          {"vbp", VBP_VERSION},
          {"cpu", printable(cpu_name())},
          {"hardware_threads", std::thread::hardware_concurrency()},
          {"kernels", vbp::kernels::table<float>().architecture},
          {"threads", thread_count(run)},
          {"batch", batch},
          {"dim", config.dim},
          {"heads", config.heads},
          {"tokens", config.tokens()},
          {"patch_elements", config.patch_elements()},
          {"outputs", config.outputs()},
          {"activation", config.activation == vbp::Activation::gelu ? "gelu" : "gelu_tanh"},
          {"hidden_widths", config.hidden_widths}};
}

/// $XDG_CACHE_HOME/vbp/latency-<hash of the key>.json, or below ~/.cache; nothing where there is neither.
fs::path cache_file(const Json& key) {
  const auto path_in = [](const char* variable) {
    const char* const text = std::getenv(variable);
    return fs::path(text == nullptr ? "" : text);
  };
  fs::path folder = path_in("XDG_CACHE_HOME");
  // What is relative shall be ignored, says the XDG Base Directory Specification.
  if (!folder.is_absolute()) folder = path_in("HOME") / ".cache";
  if (!folder.is_absolute()) return {};
  const std::string text = key.dump();
  const auto hash = vbp::io::hash_bytes(std::as_bytes(std::span(text)));
  return folder / "vbp" / ("latency-" + hash.to_string() + ".json");
}

LatencyTable measure_table(const Model& dense, const std::vector<Index>& widths, const RunOptions& run,
                           Index batch) {
  LatencyTable table{.dense_ms = std::numeric_limits<double>::infinity(), .widths = widths};
  ProgressBar bar("measuring widths", "widths");
  const auto total = static_cast<std::int64_t>(widths.size());
  const std::vector<Index> own = facts_of(dense).hidden_widths;
  for (const Index width : widths) {
    bar.show(static_cast<std::int64_t>(table.shares.size()), total);
    const std::vector<Index> all(own.size(), width);
    const Comparison times = measure_widths(dense, all, run, batch);
    // Of the same work the ratio is known, and its noise would be in all shares.
    table.shares.push_back(all == own ? 1.0 : times.ratio);
    table.dense_ms = std::min(table.dense_ms, times.dense.median);
  }
  bar.show(total, total);
  return table;
}

/// A time or a share that a measurement may have given; a table that says otherwise is broken.
bool plausible(const nlohmann::json& number) {
  return number.is_number() && number.get<double>() > 1e-9 && number.get<double>() < 1e9;
}

/// The plans of a table; nothing where they are none of a model of so many blocks.
std::optional<std::map<std::vector<Index>, double>> read_plans(const nlohmann::json& list,
                                                               std::size_t blocks) {
  if (!list.is_array()) return std::nullopt;
  std::map<std::vector<Index>, double> plans;
  for (const auto& plan : list) {
    if (!plan.is_object()) return std::nullopt;
    const auto widths = plan.value("widths", nlohmann::json());
    const auto share = plan.value("share", nlohmann::json());
    const auto whole = [](const nlohmann::json& width) { return width.is_number_integer(); };
    if (!widths.is_array() || widths.size() != blocks || !std::all_of(widths.begin(), widths.end(), whole) ||
        !plausible(share)) {
      return std::nullopt;
    }
    plans[widths.get<std::vector<Index>>()] = share.get<double>();
  }
  return plans;
}

/// The table in a file; nothing where that is not there, broken, or of something else.
std::optional<LatencyTable> read_table(const fs::path& path, const Json& key,
                                       const std::vector<Index>& widths) {
  constexpr std::size_t most_bytes = std::size_t{1} << 20;  // thousands of plans: then it begins anew
  try {
    const vbp::io::MappedFile file(path);
    if (file.bytes().size() > most_bytes) return std::nullopt;
    const auto* const text = reinterpret_cast<const char*>(file.bytes().data());
    // Sorted objects: the order of the keys is no part of what they say.
    const auto table = nlohmann::json::parse(text, text + file.bytes().size(), nullptr, false);
    if (!table.is_object() || table.value("key", nlohmann::json()) != nlohmann::json(key) ||
        table.value("widths", nlohmann::json()) != nlohmann::json(widths)) {
      return std::nullopt;
    }
    const auto dense_ms = table.value("dense_ms", nlohmann::json());
    const auto shares = table.value("shares", nlohmann::json());
    const auto plans = read_plans(table.value("plans", nlohmann::json()), key["hidden_widths"].size());
    if (!plausible(dense_ms) || !shares.is_array() || shares.size() != widths.size() ||
        !std::all_of(shares.begin(), shares.end(), plausible) || !plans) {
      return std::nullopt;
    }
    return LatencyTable{dense_ms.get<double>(), widths, shares.get<std::vector<double>>(), *plans};
  } catch (const vbp::FileError&) {
    return std::nullopt;
  }
}

/// The straight line of least squares at the same widths. What the kernels do is linear in the width; of two
/// widths whose times are off by a percent either way, the cheapest plan would take the one and leave the
/// other in every block.
std::vector<double> on_a_line(const std::vector<Index>& widths, const std::vector<double>& times) {
  const auto count = static_cast<Index>(widths.size());
  const Eigen::VectorXd x = Eigen::Map<const vbp::Vector<Index>>(widths.data(), count).cast<double>();
  const Eigen::Map<const Eigen::VectorXd> y(times.data(), count);
  const Eigen::VectorXd deviation = x.array() - x.mean();
  const double spread = deviation.squaredNorm();
  // Wider is never faster.
  const double slope = spread > 0.0 ? std::max(0.0, deviation.dot(y) / spread) : 0.0;
  const Eigen::VectorXd line = y.mean() + slope * deviation.array();
  return {line.begin(), line.end()};
}

}  // namespace

LatencyModel::LatencyModel(const Model& dense, const RunOptions& run, const LatencyOptions& options)
    : dense_(dense), run_(run), options_(options) {
  const Facts facts = facts_of(dense);
  if (!facts.stages.empty()) {
    throw vbp::ValueError("--latency is for models whose blocks are all alike, not for a " + facts.family);
  }
  const vbp::VitConfig& config = vit_of(dense).config;
  blocks_ = static_cast<double>(config.depth());
  const std::vector<Index> widths = measured_widths(config);
  key_ = key_of(config, run, options.batch);
  const bool named = !options.table.empty();
  file_ = named ? fs::path(options.table) : cache_file(key_);
  std::error_code error;
  const bool there = !options.fresh && !file_.empty() && fs::exists(file_, error);
  std::optional<LatencyTable> table = there ? read_table(file_, key_, widths) : std::nullopt;
  if (named && there && !table) {
    throw vbp::FileError(file_.string(),
                         "is no table of the latencies of this model, batch and number of threads on this "
                         "machine; --latency-fresh replaces it");
  }
  if (named) require_writable(file_, {});
  if (table) {
    table_ = std::move(*table);
  } else {
    table_ = measure_table(dense, widths, run, options.batch);
    write();
  }
  curve_ = {widths, on_a_line(widths, table_.shares)};
  // Dense is 1 by definition, whatever its noise was.
  double whole = 0.0;
  for (const Index width : config.hidden_widths) whole += block_share(width);
  for (double& time : curve_.times) time /= whole;
}

void LatencyModel::write() const {
  if (file_.empty()) return;
  Json plans = Json::array();
  for (const auto& [widths, share] : table_.plans) plans.push_back({{"widths", widths}, {"share", share}});
  const Json table{{"key", key_},
                   {"dense_ms", table_.dense_ms},
                   {"widths", table_.widths},
                   {"shares", table_.shares},
                   {"plans", plans}};
  try {
    std::error_code error;
    if (options_.table.empty()) fs::create_directories(file_.parent_path(), error);
    vbp::io::write_file_atomically(file_, table.dump() + "\n");
  } catch (const vbp::FileError&) {
    // A cache that cannot be written is none.
    if (!options_.table.empty()) throw;
  }
}

double LatencyModel::block_share(Index width) const noexcept {
  // The last panel is computed to whole vectors.
  const auto vector = static_cast<Index>(vbp::kernels::table<float>().register_bytes / sizeof(float));
  return curve_((width + vector - 1) / vector * vector) / blocks_;
}

double LatencyModel::measured_share(const vbp::PruningPlan& plan) {
  std::vector<Index> widths;
  for (const vbp::PruningPlan::Block& block : plan.blocks) widths.push_back(block.kept_width());
  const auto found = table_.plans.find(widths);
  if (found != table_.plans.end()) return found->second;
  ProgressBar bar("measuring the plan", "plans");
  bar.show(0, 1);
  const double share = measure_widths(dense_, widths, run_, options_.batch).ratio;
  table_.plans.emplace(widths, share);
  write();
  return share;
}

}  // namespace tool
