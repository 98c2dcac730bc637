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

/// The model with all blocks of one width, cut or filled up with zeros: what the values are changes no time.
Model with_width(Model model, Index width) {
  const auto resized = [](const auto& from, Index rows, Index columns) {
    vbp::Matrix<float> to = vbp::Matrix<float>::Zero(rows, columns);
    const Index r = std::min(rows, from.rows()), c = std::min(columns, from.cols());
    to.topLeftCorner(r, c) = from.topLeftCorner(r, c);
    return to;
  };
  for (auto* mlp : mlps_of(model)) {
    mlp->fc1.weight = resized(mlp->fc1.weight, width, mlp->fc1.weight.cols());
    mlp->fc1.bias = vbp::Vector<float>::Zero(width);
    mlp->fc2.weight = resized(mlp->fc2.weight, mlp->fc2.weight.rows(), width);
  }
  update_widths(model);
  return model;
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
  return {{"version", 1},
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

struct Measured {
  double dense_ms = 0.0;
  std::vector<double> shares = {};  ///< of the dense latency, one a width
};

/// Of the shortest runs: what other programs do to the machine only adds to them.
Measured measure_widths(const Model& dense, const std::vector<Index>& widths, const RunOptions& run,
                        Index batch) {
  Measured measured{.dense_ms = std::numeric_limits<double>::infinity()};
  ProgressBar bar("measuring widths");
  const auto total = static_cast<std::int64_t>(widths.size());
  const std::vector<Index> own = facts_of(dense).hidden_widths;
  for (const Index width : widths) {
    bar.show(static_cast<std::int64_t>(measured.shares.size()), total);
    const auto [whole, cut] = measure(dense, with_width(dense, width), run, batch);
    // Of the same work the ratio is known, and its noise would be in all shares.
    const bool same = std::all_of(own.begin(), own.end(), [&](Index other) { return other == width; });
    measured.shares.push_back(same ? 1.0 : cut.minimum / whole.minimum);
    measured.dense_ms = std::min(measured.dense_ms, whole.minimum);
  }
  bar.show(total, total);
  return measured;
}

/// A time or a share that a measurement may have given; a table that says otherwise is broken.
bool plausible(const nlohmann::json& number) {
  return number.is_number() && number.get<double>() > 1e-9 && number.get<double>() < 1e9;
}

/// The table in a file; nothing where that is not there, broken, or of something else.
std::optional<Measured> read_table(const fs::path& path, const Json& key, const std::vector<Index>& widths) {
  constexpr std::size_t most_bytes = 65536;  // a table takes one or two thousand
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
    if (!plausible(dense_ms) || !shares.is_array() || shares.size() != widths.size() ||
        !std::all_of(shares.begin(), shares.end(), plausible)) {
      return std::nullopt;
    }
    return Measured{dense_ms.get<double>(), shares.get<std::vector<double>>()};
  } catch (const vbp::FileError&) {
    return std::nullopt;
  }
}

void write_table(const fs::path& path, const Json& key, const std::vector<Index>& widths,
                 const Measured& measured) {
  const Json table{
      {"key", key}, {"dense_ms", measured.dense_ms}, {"widths", widths}, {"shares", measured.shares}};
  vbp::io::write_file_atomically(path, table.dump(2) + "\n");
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

/// The table of the file that the user named: what is there and is none of this model is not overwritten.
Measured named_table(const fs::path& path, bool fresh, const Json& key, const std::vector<Index>& widths,
                     const auto& measure_now) {
  std::error_code error;
  if (!fresh && fs::exists(path, error)) {
    if (auto table = read_table(path, key, widths)) return *table;
    throw vbp::FileError(path.string(),
                         "is no table of the latencies of this model, batch and number of threads on this "
                         "machine; --latency-fresh replaces it");
  }
  require_writable(path, {});
  const Measured measured = measure_now();
  write_table(path, key, widths, measured);
  return measured;
}

/// The table of the cache. One that cannot be written is none: the next run measures again.
Measured cached_table(const fs::path& path, bool fresh, const Json& key, const std::vector<Index>& widths,
                      const auto& measure_now) {
  if (!fresh && !path.empty()) {
    if (auto table = read_table(path, key, widths)) return *table;
  }
  const Measured measured = measure_now();
  if (path.empty()) return measured;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  try {
    write_table(path, key, widths, measured);
  } catch (const vbp::FileError&) {
  }
  return measured;
}

}  // namespace

LatencyModel::LatencyModel(const Model& dense, const RunOptions& run, const LatencyOptions& options) {
  const Facts facts = facts_of(dense);
  if (!facts.stages.empty()) {
    throw vbp::ValueError("--latency is for models whose blocks are all alike, not for a " + facts.family);
  }
  const vbp::VitConfig& config = vit_of(dense).config;
  blocks_ = static_cast<double>(config.depth());
  curve_.widths = measured_widths(config);
  const Json key = key_of(config, run, options.batch);
  const auto measure_now = [&] { return measure_widths(dense, curve_.widths, run, options.batch); };
  const Measured table = options.table.empty()
                             ? cached_table(cache_file(key), options.fresh, key, curve_.widths, measure_now)
                             : named_table(options.table, options.fresh, key, curve_.widths, measure_now);
  curve_.times = on_a_line(curve_.widths, table.shares);
  dense_ms_ = table.dense_ms;
  // Dense is 1 by definition, whatever its noise was.
  double whole = 0.0;
  for (const Index width : config.hidden_widths) whole += block_share(width);
  for (double& time : curve_.times) time /= whole;
}

double LatencyModel::block_share(Index width) const noexcept {
  // The last panel is computed to whole vectors.
  const auto vector = static_cast<Index>(vbp::kernels::table<float>().register_bytes / sizeof(float));
  return curve_((width + vector - 1) / vector * vector) / blocks_;
}

double LatencyModel::share(const vbp::PruningPlan& plan) const {
  double sum = 0.0;
  for (const vbp::PruningPlan::Block& block : plan.blocks) sum += block_share(block.kept_width());
  return sum;
}

}  // namespace tool
