#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/chart.hpp"
#include "report/explain.hpp"
#include "report/text.hpp"

namespace tool {

using vbp::Index;

namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

std::string percent(double share) {
  return fixed(100.0 * share, 1) + " %";
}

/// Logarithms of falling values over their places, from `first` on, thinned out to what a picture can show.
/// Values below a trillionth of the largest are rounding errors and are drawn at that.
std::vector<chart::Point> curve(const std::vector<double>& values, double largest, double first) {
  constexpr std::size_t most = 300;
  const double least = largest > 0.0 ? 1e-12 * largest : 1e-12;
  std::vector<chart::Point> points;
  const std::size_t count = std::min(values.size(), most);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = count == 1 ? 0 : i * (values.size() - 1) / (count - 1);
    points.push_back({first + static_cast<double>(at), std::log10(std::max(values[at], least))});
  }
  return points;
}

chart::Series line(const char* label, const char* colour, std::vector<chart::Point> points) {
  return {.label = label, .colour = colour, .marker = chart::Marker::none, .points = std::move(points)};
}

chart::Panel panel_of(const char* title, const char* x, const char* y, std::vector<chart::Series> series) {
  chart::Panel panel{.title = title,
                     .x = chart::axis_around(x, chart::values_of(series, &chart::Point::x)),
                     .y = chart::axis_around(y, chart::values_of(series, &chart::Point::y)),
                     .series = std::move(series),
                     .legend = chart::Corner::bottom_left};
  return panel;
}

chart::Panel spectrum_panel(const ExplainedBlock& block) {
  return panel_of(
      "Spectrum of the covariance", "eigenvalue, the largest first", "log10 of the eigenvalue",
      {line("eigenvalues", chart::colours::blue, curve(block.spectrum, block.spectrum.front(), 1.0))});
}

chart::Panel variance_panel(const ExplainedBlock& block) {
  const auto kept = static_cast<double>(block.kept.size());
  const double largest = std::max(block.kept.front(), block.removed.empty() ? 0.0 : block.removed.front());
  std::vector<chart::Series> lines;
  if (!block.removed.empty()) {
    lines.push_back(line("removed", chart::colours::vermilion, curve(block.removed, largest, kept + 1.0)));
  }
  lines.push_back(line("kept", chart::colours::blue, curve(block.kept, largest, 1.0)));
  chart::Panel panel = panel_of("Variances, those that stay before those that go",
                                "neuron, the most varying first", "log10 of the variance", std::move(lines));
  chart::Series cut =
      line("cut", chart::colours::grey, {{kept + 0.5, panel.y.begin}, {kept + 0.5, panel.y.end}});
  cut.width = 1.0;
  panel.series.insert(panel.series.begin(), std::move(cut));
  return panel;
}

/// A share of each block in per cent, over the blocks.
chart::Series over_blocks(const std::vector<ExplainedBlock>& blocks, const char* label, const char* colour,
                          chart::Marker marker, double (*share)(const ExplainedBlock&)) {
  chart::Series series{.label = label, .colour = colour, .marker = marker};
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    series.points.push_back({static_cast<double>(b), 100.0 * share(blocks[b])});
  }
  return series;
}

std::vector<chart::Panel> overview(const std::vector<ExplainedBlock>& blocks) {
  using chart::Marker;
  std::vector<chart::Panel> panels{panel_of(
      "What stays of each block", "block", "share that stays, %",
      {over_blocks(blocks, "neurons", chart::colours::blue, Marker::circle,
                   [](const ExplainedBlock& block) {
                     return static_cast<double>(block.kept.size()) / static_cast<double>(block.width());
                   }),
       over_blocks(blocks, "variance", chart::colours::orange, Marker::square,
                   [](const ExplainedBlock& block) { return block.variance_kept(); })})};
  if (blocks.front().errors) {
    panels.push_back(
        panel_of("Error of each block's output", "block", "share of the output's variance, %",
                 {over_blocks(blocks, "not compensated", chart::colours::grey, Marker::triangle,
                              [](const ExplainedBlock& block) { return block.errors->none; }),
                  over_blocks(blocks, "mean shift", chart::colours::orange, Marker::square,
                              [](const ExplainedBlock& block) { return block.errors->mean_shift; }),
                  over_blocks(blocks, "refit", chart::colours::blue, Marker::circle,
                              [](const ExplainedBlock& block) { return block.errors->refit; })}));
    panels.back().legend = chart::Corner::top_right;
  }
  const auto count = static_cast<double>(blocks.size());
  for (chart::Panel& panel : panels) {
    panel.x = {"block", 0.0, count, std::max(1.0, std::ceil(chart::tick_step(count)))};
  }
  return panels;
}

std::string picture(const std::string& title, const std::string& subtitle, std::vector<chart::Panel> panels) {
  return "<figure>\n" +
         chart::to_svg_element({.title = title, .subtitle = subtitle, .panels = std::move(panels)}) +
         "</figure>\n";
}

std::string row(const char* cell, const std::vector<std::string>& texts) {
  std::string html = "<tr>";
  for (const std::string& text : texts)
    html += std::string("<") + cell + ">" + chart::escaped(text) + "</" + cell + ">";
  return html + "</tr>\n";
}

std::string table(const std::vector<ExplainedBlock>& blocks) {
  std::vector<std::string> header{"block", "before", "after", "variance kept"};
  if (blocks.front().errors) {
    header.insert(header.end(), {"error, not compensated", "error, mean shift", "error, refit"});
  }
  std::string html = "<table>\n" + row("th", header);
  for (const ExplainedBlock& block : blocks) html += row("td", block.cells());
  return html + "</table>\n";
}

constexpr const char* kStyle =
    "body { font-family: Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif; color: #222222; "
    "background: #ffffff; max-width: 1060px; margin: 2em auto; padding: 0 1em; line-height: 1.45; }\n"
    "figure { margin: 1em 0; break-inside: avoid; }\n"
    "svg { max-width: 100%; height: auto; }\n"
    "table { border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"
    "th, td { text-align: right; padding: 0.15em 0.8em; border-bottom: 1px solid #e3e3e3; }\n"
    "th:first-child, td:first-child { text-align: left; }\n";

}  // namespace

double ExplainedBlock::variance_kept() const {
  const double stays = sum(kept);
  const double all = stays + sum(removed);
  return all > 0.0 ? stays / all : 1.0;
}

std::vector<std::string> ExplainedBlock::cells() const {
  std::vector<std::string> texts{name, std::to_string(width()), std::to_string(kept.size()),
                                 percent(variance_kept())};
  if (errors) {
    for (const double error : {errors->none, errors->mean_shift, errors->refit}) {
      texts.push_back(percent(error));
    }
  }
  return texts;
}

Json Explanation::json() const {
  Json report;
  report["model"] = model;
  report["criterion"] = criterion;
  report["rate"] = rate;
  report["calibration_images"] = images;
  report["blocks"] = Json::array();
  for (const ExplainedBlock& block : blocks) {
    Json& entry = report["blocks"].emplace_back(Json{{"name", block.name},
                                                     {"width_before", block.width()},
                                                     {"width_after", block.kept.size()},
                                                     {"variance_kept", block.variance_kept()}});
    if (!block.errors) continue;
    entry["error_none"] = block.errors->none;
    entry["error_mean_shift"] = block.errors->mean_shift;
    entry["error_refit"] = block.errors->refit;
    entry["spectrum"] = block.spectrum;
  }
  return report;
}

std::string Explanation::page() const {
  Index before = 0, after = 0;
  for (const ExplainedBlock& block : blocks) {
    before += block.width();
    after += static_cast<Index>(block.kept.size());
  }
  const std::string title = "What pruning removes: " + chart::escaped(printable(model));
  const bool covariances = blocks.front().errors.has_value();
  std::string html = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>" +
                     title + "</title>\n<style>\n" + kStyle + "</style>\n</head>\n<body>\n<h1>" + title +
                     "</h1>\n<p>" + grouped(before - after) + " of " + grouped(before) +
                     " hidden neurons go (rate " + percent(rate) + "), chosen by the criterion " + criterion +
                     " from the statistics of " + grouped(images) + " images.</p>\n";
  if (covariances) {
    html +=
        "<p>Errors are those of each block alone, given the inputs of the dense model: the expected squared "
        "distance of its output from the dense one, as a share of the output's variance.</p>\n";
  } else {
    html +=
        "<p>These statistics hold variances alone. Spectra and errors are missing: they need covariances, as "
        "<code>vbp calibrate --covariance</code> or <code>--calibrate</code> gather them.</p>\n";
  }
  html += table(blocks) + picture("All blocks", "", overview(blocks));
  for (const ExplainedBlock& block : blocks) {
    std::string subtitle = std::to_string(block.removed.size()) + " of " + std::to_string(block.width()) +
                           " neurons go, with " + percent(1.0 - block.variance_kept()) + " of the variance";
    std::vector<chart::Panel> panels{variance_panel(block)};
    if (block.errors) {
      subtitle += "; error " + percent(block.errors->none) + ", after mean shift " +
                  percent(block.errors->mean_shift) + ", after refit " + percent(block.errors->refit);
      panels.push_back(spectrum_panel(block));
    }
    html += picture(block.name, subtitle, std::move(panels));
  }
  return html + "</body>\n</html>\n";
}

}  // namespace tool
