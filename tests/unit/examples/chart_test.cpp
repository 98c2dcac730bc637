#include "../examples/common/chart.hpp"

#include <limits>
#include <string>

#include "support/catch.hpp"

namespace {

chart::Figure figure_with(chart::Point last) {
  return {.title = "a < b & c",
          .subtitle = "",
          .panels = {{.title = "panel",
                      .x = {.label = "x", .begin = 0, .end = 10, .step = 5},
                      .y = {.label = "y", .begin = 0, .end = 0.3, .step = 0.1},
                      .series = {{.label = "line",
                                  .colour = chart::colours::blue,
                                  .marker = chart::Marker::circle,
                                  .points = {{0, 0}, last}}}}},
          .panel_width = 500,
          .height = 440};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a chart maps its axes to the panel's corners") {
  const std::string svg = chart::to_svg(figure_with({10, 0.3}));
  // Margins: 64 left, 20 right, 112 above, 62 below.
  CHECK(contains(svg, "points=\"64,378 480,112\""));
  // Half of x and a third of y.
  CHECK(contains(chart::to_svg(figure_with({5, 0.1})), "points=\"64,378 272,289.33\""));
  // The last tick is there although 3 * 0.1 is rounded above it.
  CHECK(contains(svg, ">0.3</text>"));
}

TEST_CASE("a chart escapes its texts") {
  const std::string svg = chart::to_svg(figure_with({10, 0.3}));
  CHECK(contains(svg, "<title>a &lt; b &amp; c</title>"));
  CHECK_FALSE(contains(svg, "a < b"));
}

TEST_CASE("a chart refuses points that it cannot draw and axes without a range") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(chart::to_svg(figure_with({10.1, 0})),
                    "chart: a point of \"line\" lies outside the axes");
  CHECK_THROWS_WITH(chart::to_svg(figure_with({1, nan})), "chart: a point of \"line\" lies outside the axes");
  for (const double end : {0.0, -1.0, nan, 1e9}) {
    chart::Figure figure = figure_with({0, 0});
    figure.panels[0].x.end = end;
    CHECK_THROWS_WITH(chart::to_svg(figure), "chart: the axis \"x\" has no range or too many ticks");
  }
}

TEST_CASE("panels stand in rows of as many columns as asked for") {
  chart::Figure figure = figure_with({10, 0.3});
  figure.panels.assign(3, figure.panels.front());
  CHECK(contains(chart::to_svg(figure), "width=\"1500\" height=\"440\""));
  figure.columns = 2;
  const std::string svg = chart::to_svg(figure);
  // The height of a row is that of the figure without its titles, 440 - 76.
  CHECK(contains(svg, "width=\"1000\" height=\"804\""));
  for (const char* line : {"64,378 480,112", "564,378 980,112", "64,742 480,476"}) {
    CHECK(contains(svg, std::string("points=\"") + line));
  }
}

TEST_CASE("an axis encloses its values between round numbers") {
  const chart::Axis axis = chart::axis_around("y", {3.2, 17.9, 8.0});
  CHECK(axis.begin == 2.0);
  CHECK(axis.end == 18.0);
  CHECK(axis.step == 2.0);
  // A single value has an axis too.
  const chart::Axis alone = chart::axis_around("y", {5.0});
  CHECK(alone.begin <= 5.0);
  CHECK(alone.end > 5.0);
}

TEST_CASE("a line without markers has none, and an element no prolog") {
  chart::Figure figure = figure_with({10, 0.3});
  CHECK(contains(chart::to_svg(figure), "<circle"));
  CHECK(chart::to_svg(figure) ==
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + chart::to_svg_element(figure));
  CHECK(chart::to_svg_element(figure).starts_with("<svg "));
  figure.panels[0].series[0].marker = chart::Marker::none;
  const std::string svg = chart::to_svg(figure);
  CHECK(contains(svg, "<polyline"));
  CHECK_FALSE(contains(svg, "<circle"));
  CHECK_FALSE(contains(svg, "<polygon"));
}
