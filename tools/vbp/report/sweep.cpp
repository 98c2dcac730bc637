#include "report/sweep.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <utility>

#include "options/pruning.hpp"
#include "report/text.hpp"

namespace tool {

namespace fs = std::filesystem;

namespace {

/// What a report says of the dense model's criterion and compensation.
constexpr const char* kNone = "none";

std::string name_of(const std::optional<vbp::Method>& method) {
  return method ? method->name() : "dense";
}

std::string criterion_of(const std::optional<vbp::Method>& method) {
  return method ? std::string(vbp::name_of(method->criterion)) : kNone;
}

std::string compensation_of(const std::optional<vbp::Method>& method) {
  return method ? std::string(vbp::name_of(method->compensation)) : kNone;
}

/// The method of a report's row or gap; none for the dense model and for a whole rate. Throws ValueError.
std::optional<vbp::Method> method_of(const Json& json) {
  const std::string criterion = json.value("criterion", ""), compensation = json.value("compensation", "");
  if (criterion.empty() || criterion == kNone) return std::nullopt;
  return vbp::Method{vbp::parse_criterion(criterion), vbp::parse_compensation(compensation)};
}

double share(const std::string& hits) {
  const auto correct = std::count(hits.begin(), hits.end(), '1');
  return static_cast<double>(correct) / static_cast<double>(hits.size());
}

SweepRow row_of(const Json& json) {
  return {.rate = json.at("rate").get<double>(),
          .method = method_of(json),
          .hits = json.at("hits").get<std::string>(),
          .parameters = json.at("parameters").get<std::int64_t>(),
          .macs = json.at("macs").get<std::int64_t>(),
          .latency = json.at("latency_ms").get<double>(),
          .dense_latency = json.at("dense_latency_ms").get<double>()};
}

SweepGap gap_of(const Json& json) {
  return {.rate = json.at("rate").get<double>(),
          .method = method_of(json),
          .reason = json.at("reason").get<std::string>()};
}

}  // namespace

double SweepRow::top1() const {
  return share(hits);
}

double paired_standard_error(const std::string& a, const std::string& b) {
  const auto n = static_cast<double>(a.size());
  const double mean = share(a) - share(b);
  double squares = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double deviation = (a[i] - b[i]) - mean;
    squares += deviation * deviation;
  }
  return n > 1.0 ? std::sqrt(squares / (n - 1.0) / n) : 0.0;
}

const SweepRow* Sweep::find(double rate, const std::optional<vbp::Method>& method) const {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const SweepRow& row) {
    return row.rate == rate && row.method == method;
  });
  return found == rows.end() ? nullptr : &*found;
}

bool Sweep::knows(double rate, const std::optional<vbp::Method>& method) const {
  const auto is_it = [&](const SweepGap& gap) { return gap.rate == rate && gap.method == method; };
  return find(rate, method) || std::any_of(gaps.begin(), gaps.end(), is_it);
}

namespace {

/// A row with its difference to another one, image by image.
Json row_json(const SweepRow& row, const SweepRow& other) {
  const double top1 = row.top1();
  const auto images = static_cast<double>(row.hits.size());
  return {{"rate", row.rate},
          {"criterion", criterion_of(row.method)},
          {"compensation", compensation_of(row.method)},
          {"method", name_of(row.method)},
          {"top1", top1},
          {"reference", name_of(other.method)},
          {"difference", top1 - other.top1()},
          {"standard_error", paired_standard_error(row.hits, other.hits)},
          {"top1_standard_error", std::sqrt(top1 * (1.0 - top1) / images)},
          {"parameters", row.parameters},
          {"macs", row.macs},
          {"latency_ms", row.latency},
          {"dense_latency_ms", row.dense_latency},
          {"hits", row.hits}};
}

}  // namespace

Json Sweep::json() const {
  Json report = facts;
  report["settings"] = settings;
  report["rows"] = Json::array();
  for (const SweepRow& row : rows) {
    report["rows"].push_back(row_json(row, row.method ? *find(row.rate, reference) : row));
  }
  report["skipped"] = Json::array();
  for (const SweepGap& gap : gaps) {
    Json& entry = report["skipped"].emplace_back(Json{{"rate", gap.rate}});
    if (gap.method) {
      entry["criterion"] = criterion_of(gap.method);
      entry["compensation"] = compensation_of(gap.method);
    }
    entry["reason"] = gap.reason;
  }
  report.update(left_out);
  return report;
}

void Sweep::resume(const fs::path& file) {
  const vbp::FileError error(file.string(), "is no report of vbp sweep that can be continued");
  std::ifstream stream(file, std::ios::binary);
  const Json found = Json::parse(stream, nullptr, false);
  try {
    const Json& made_with = found.at("settings");
    for (const auto& [key, value] : settings.items()) {
      if (made_with.at(key) != value) {
        throw vbp::FileError(file.string(), "was made with another setting of \"" + key +
                                                "\"; --resume goes " +
                                                "on with the same images, model and options");
      }
    }
    rows.clear(), gaps.clear();
    for (const Json& row : found.at("rows")) rows.push_back(row_of(row));
    for (const Json& gap : found.at("skipped")) gaps.push_back(gap_of(gap));
    for (auto& [key, images] : left_out.items()) images = found.at(key);
  } catch (const Json::exception&) {
    throw error;
  } catch (const vbp::ValueError&) {
    throw error;
  }
  // Rows are compared image by image, with a reference that comes before them.
  for (const SweepRow& row : rows) {
    const bool letters = row.hits.find_first_not_of("01") == std::string::npos;
    const bool compared = !row.method || find(row.rate, reference);
    if (row.hits.empty() || row.hits.size() != rows.front().hits.size() || !letters || !compared ||
        !(row.latency > 0.0) || !(row.dense_latency > 0.0)) {
      throw error;
    }
  }
}

void Sweep::print() const {
  Table table({"removed", "criterion", "compensation", "top-1, %", "to ob2c", "+-", "parameters", "MACs",
               "latency, ms", "of dense"},
              3);
  for (const SweepRow& row : rows) {
    const SweepRow* other = row.method ? find(row.rate, reference) : nullptr;
    const auto points = [](double value) { return fixed(100.0 * value, 2); };
    const double difference = other ? row.top1() - other->top1() : 0.0;
    table.add({fixed(100.0 * row.rate, 1) + " %", row.method ? criterion_of(row.method) : "dense",
               row.method ? compensation_of(row.method) : "", points(row.top1()),
               other ? (difference > 0.0 ? "+" : "") + points(difference) : "",
               other ? points(paired_standard_error(row.hits, other->hits)) : "", grouped(row.parameters),
               grouped(row.macs), fixed(row.latency, 2),
               fixed(100.0 * row.latency / row.dense_latency, 1) + " %"});
  }
  table.print();
}

namespace {

/// Top-1 over latency of one method at all rates; every line ends at the dense model.
chart::Series line_of(const std::vector<SweepRow>& rows, const vbp::Method& method, std::size_t index) {
  using chart::Marker;
  constexpr std::array colours{chart::colours::blue,      chart::colours::orange, chart::colours::purple,
                               chart::colours::vermilion, chart::colours::green,  chart::colours::black,
                               chart::colours::grey};
  constexpr std::array markers{Marker::circle, Marker::square, Marker::triangle, Marker::diamond};
  chart::Series line{.label = std::string(vbp::name_of(method.criterion)),
                     .colour = colours[index % colours.size()],
                     .marker = markers[index % markers.size()]};
  for (const SweepRow& row : rows) {
    if (row.method && *row.method != method) continue;
    line.points.push_back({100.0 * row.latency / row.dense_latency, 100.0 * row.top1()});
  }
  std::sort(line.points.begin(), line.points.end(),
            [](const chart::Point& a, const chart::Point& b) { return a.x < b.x; });
  return line;
}

}  // namespace

chart::Figure Sweep::figure() const {
  chart::Figure figure{.title = "Top-1 over latency",
                       .subtitle =
                           "Latency of one image, run in turn with the dense model; every panel has its "
                           "own scale of top-1, every line ends at the dense model.",
                       .panels = {},
                       .columns = 3};
  for (const vbp::Compensation compensation : vbp::kCompensations) {
    chart::Panel panel{.title = std::string(vbp::name_of(compensation)),
                       .x = {"latency, % of the dense model's", 0.0, 100.0, 10.0},
                       .y = {},
                       .series = {},
                       .legend = chart::Corner::bottom_right};
    // The legend names the last one first.
    for (std::size_t c = std::size(vbp::kCriteria); c-- > 0;) {
      chart::Series line = line_of(rows, {vbp::kCriteria[c], compensation}, c);
      if (line.points.size() > 1) panel.series.push_back(std::move(line));
    }
    if (panel.series.empty()) continue;
    panel.x = chart::axis_around(panel.x.label, chart::values_of(panel.series, &chart::Point::x));
    panel.y = chart::axis_around("top-1, %", chart::values_of(panel.series, &chart::Point::y));
    figure.panels.push_back(std::move(panel));
  }
  return figure;
}

}  // namespace tool
