#pragma once
/// Line charts as SVG text: panels side by side or in rows, each with axes, grid, lines with markers and a
/// legend. The same figure gives the same text on every machine.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"

namespace chart {

struct Point {
  double x = 0.0;
  double y = 0.0;
};

/// Lines differ in marker and colour, so that they can be distinguished without colour.
enum class Marker { circle, square, triangle, diamond, none };

struct Series {
  std::string label;
  std::string colour;  ///< as SVG writes it, "#0072b2"
  Marker marker = Marker::circle;
  std::vector<Point> points = {};
  double width = 2.0;  ///< of the line, in pixels
};

/// An axis from begin to end, with a tick and a label at begin and after every step.
struct Axis {
  std::string label;
  double begin = 0.0;
  double end = 1.0;
  double step = 0.2;
};

enum class Corner { top_left, top_right, bottom_left, bottom_right };

struct Panel {
  std::string title;
  Axis x;
  Axis y;
  std::vector<Series>
      series;  ///< later ones are drawn over earlier ones; the legend names the last one first
  Corner legend = Corner::bottom_left;
};

struct Figure {
  std::string title;
  std::string subtitle;
  std::vector<Panel> panels;
  double panel_width = 500.0;  ///< in pixels, axis labels included
  double height = 440.0;       ///< of one row of panels and the titles
  std::size_t columns = 0;     ///< panels in a row; 0: all of them
};

/// Colours that the colour-blind can distinguish (Okabe and Ito 2008), dark enough for white paper.
namespace colours {
inline constexpr const char* blue = "#0072b2";
inline constexpr const char* orange = "#e69f00";
inline constexpr const char* green = "#009e73";
inline constexpr const char* vermilion = "#d55e00";
inline constexpr const char* purple = "#cc79a7";
inline constexpr const char* grey = "#777777";
inline constexpr const char* black = "#222222";
}  // namespace colours

/// A round step that divides the range into at most ten parts.
inline double tick_step(double range) {
  const double power = std::pow(10.0, std::floor(std::log10(std::max(range, 1e-6) / 10.0)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (range / (factor * power) <= 10.0) return factor * power;
  }
  return 10.0 * power;
}

/// One coordinate of all points.
inline std::vector<double> values_of(const std::vector<Series>& lines, double Point::*coordinate) {
  std::vector<double> values;
  for (const Series& line : lines) {
    for (const Point& point : line.points) values.push_back(point.*coordinate);
  }
  return values;
}

/// An axis that encloses all values, at least one, and begins and ends at a multiple of its step.
inline Axis axis_around(std::string label, const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double step = std::max(0.01, tick_step(*high - *low));
  return {std::move(label), step * std::floor(*low / step), step * (std::floor(*high / step) + 1.0), step};
}

/// A text with the special characters of XML and HTML escaped.
inline std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

namespace detail {

/// At most two decimals, no trailing zeros, whatever the locale.
inline std::string number(double value) {
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, 2);
  if (error != std::errc()) throw vbp::ValueError("chart: a number is too large to draw");
  std::string text(buffer, end);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

/// SVG elements, one a line.
class Canvas {
 public:
  const std::string& text() const noexcept { return text_; }

  void line(Point from, Point to, std::string_view attributes) {
    text_ += "<line x1=\"" + number(from.x) + "\" y1=\"" + number(from.y) + "\" x2=\"" + number(to.x) +
             "\" y2=\"" + number(to.y) + "\" " + std::string(attributes) + "/>\n";
  }

  void polyline(const std::vector<Point>& points, const Series& style) {
    text_ += "<polyline points=\"" + list(points) + "\" fill=\"none\" stroke=\"" + escaped(style.colour) +
             "\" stroke-width=\"" + number(style.width) + "\" stroke-linejoin=\"round\"/>\n";
  }

  /// All markers cover about the same area; a white rim keeps crossing lines apart.
  void marker(Point at, const Series& style) {
    if (style.marker == Marker::none) return;
    const double r = 3.2 + style.width / 2;
    const std::string paint =
        " fill=\"" + escaped(style.colour) + "\" stroke=\"#ffffff\" stroke-width=\"1\"/>\n";
    if (style.marker == Marker::circle) {
      text_ +=
          "<circle cx=\"" + number(at.x) + "\" cy=\"" + number(at.y) + "\" r=\"" + number(r) + "\"" + paint;
      return;
    }
    std::vector<Point> corners{{0, -1.25}, {1.15, 0.85}, {-1.15, 0.85}};
    if (style.marker == Marker::square) corners = {{-0.9, -0.9}, {0.9, -0.9}, {0.9, 0.9}, {-0.9, 0.9}};
    if (style.marker == Marker::diamond) corners = {{0, -1.25}, {1.25, 0}, {0, 1.25}, {-1.25, 0}};
    for (Point& corner : corners) corner = {at.x + r * corner.x, at.y + r * corner.y};
    text_ += "<polygon points=\"" + list(corners) + "\"" + paint;
  }

  void rectangle(Point top_left, double width, double height, std::string_view attributes) {
    text_ += "<rect x=\"" + number(top_left.x) + "\" y=\"" + number(top_left.y) + "\" width=\"" +
             number(width) + "\" height=\"" + number(height) + "\" " + std::string(attributes) + "/>\n";
  }

  void write(Point at, std::string_view words, std::string_view attributes = {}) {
    text_ += "<text x=\"" + number(at.x) + "\" y=\"" + number(at.y) + "\"" + (attributes.empty() ? "" : " ") +
             std::string(attributes) + ">" + escaped(words) + "</text>\n";
  }

 private:
  static std::string list(const std::vector<Point>& points) {
    std::string result;
    for (const Point& p : points) {
      if (!result.empty()) result += ' ';
      result += number(p.x) + ',' + number(p.y);
    }
    return result;
  }

  std::string text_;
};

inline void require(const Panel& panel) {
  for (const Axis* axis : {&panel.x, &panel.y}) {
    if (!(axis->begin < axis->end) || !(axis->step > 0.0) || (axis->end - axis->begin) / axis->step > 100) {
      throw vbp::ValueError("chart: the axis \"" + axis->label + "\" has no range or too many ticks");
    }
  }
  const auto inside = [](double value, const Axis& axis) { return value >= axis.begin && value <= axis.end; };
  for (const Series& series : panel.series) {
    for (const Point& p : series.points) {
      if (!inside(p.x, panel.x) || !inside(p.y, panel.y)) {
        throw vbp::ValueError("chart: a point of \"" + series.label + "\" lies outside the axes");
      }
    }
  }
}

/// Values of the ticks. They are counted, so that rounding loses none.
inline std::vector<double> ticks(const Axis& axis) {
  std::vector<double> values;
  const auto count = static_cast<int>(std::floor((axis.end - axis.begin) / axis.step + 1e-9));
  for (int i = 0; i <= count; ++i) values.push_back(axis.begin + i * axis.step);
  return values;
}

inline void draw_legend(Canvas& canvas, const Panel& panel, Point top_left, Point bottom_right) {
  constexpr double row = 21.0;
  constexpr double inset = 14.0;
  constexpr double sample = 30.0;
  std::size_t longest = 0;
  for (const Series& series : panel.series) longest = std::max(longest, series.label.size());
  // SVG cannot measure text; a letter of these fonts is rarely wider than half their size.
  const double width = sample + 14.0 + 7.0 * static_cast<double>(longest);
  const double height = row * static_cast<double>(panel.series.size()) + 8.0;
  const bool right = panel.legend == Corner::top_right || panel.legend == Corner::bottom_right;
  const bool bottom = panel.legend == Corner::bottom_left || panel.legend == Corner::bottom_right;
  const Point corner{right ? bottom_right.x - inset - width : top_left.x + inset,
                     bottom ? bottom_right.y - inset - height : top_left.y + inset};
  canvas.rectangle(corner, width, height, "fill=\"#ffffff\" fill-opacity=\"0.9\"");
  double y = corner.y + 4.0 + row / 2;
  for (auto series = panel.series.rbegin(); series != panel.series.rend(); ++series, y += row) {
    canvas.polyline({{corner.x + 4.0, y}, {corner.x + 4.0 + sample, y}}, *series);
    canvas.marker({corner.x + 4.0 + sample / 2, y}, *series);
    canvas.write({corner.x + sample + 12.0, y + 4.5}, series->label);
  }
}

inline void draw_panel(Canvas& canvas, const Panel& panel, Point top_left, Point bottom_right) {
  const auto x = [&](double value) {
    return top_left.x +
           (value - panel.x.begin) / (panel.x.end - panel.x.begin) * (bottom_right.x - top_left.x);
  };
  const auto y = [&](double value) {
    return bottom_right.y -
           (value - panel.y.begin) / (panel.y.end - panel.y.begin) * (bottom_right.y - top_left.y);
  };
  canvas.write({top_left.x, top_left.y - 16.0}, panel.title, "font-size=\"15\" font-weight=\"bold\"");
  for (const double tick : ticks(panel.y)) {
    canvas.line({top_left.x, y(tick)}, {bottom_right.x, y(tick)}, "stroke=\"#e3e3e3\"");
    canvas.write({top_left.x - 9.0, y(tick) + 4.5}, number(tick), "text-anchor=\"end\" fill=\"#444444\"");
  }
  for (const double tick : ticks(panel.x)) {
    canvas.line({x(tick), bottom_right.y}, {x(tick), bottom_right.y + 5.0}, "stroke=\"#888888\"");
    canvas.write({x(tick), bottom_right.y + 20.0}, number(tick), "text-anchor=\"middle\" fill=\"#444444\"");
  }
  canvas.line({top_left.x, bottom_right.y}, bottom_right, "stroke=\"#888888\"");
  canvas.write({(top_left.x + bottom_right.x) / 2, bottom_right.y + 43.0}, panel.x.label,
               "text-anchor=\"middle\"");
  const Point side{top_left.x - 46.0, (top_left.y + bottom_right.y) / 2};
  canvas.write(
      side, panel.y.label,
      "text-anchor=\"middle\" transform=\"rotate(-90 " + number(side.x) + " " + number(side.y) + ")\"");
  draw_legend(canvas, panel, top_left, bottom_right);
  for (const Series& series : panel.series) {
    std::vector<Point> points;
    for (const Point& p : series.points) points.push_back({x(p.x), y(p.y)});
    canvas.polyline(points, series);
    for (const Point& p : points) canvas.marker(p, series);
  }
}

}  // namespace detail

/// The figure as an SVG element that can be embedded in a page. Throws vbp::ValueError, naming axis or line,
/// for an axis without a range and for a point that is not a number or lies outside its axes.
inline std::string to_svg_element(const Figure& figure) {
  constexpr double left = 64.0;
  constexpr double right = 20.0;
  constexpr double titles = 76.0;
  const std::size_t count = figure.panels.size();
  const std::size_t columns = figure.columns == 0 ? count : std::min(count, figure.columns);
  const std::size_t rows = columns == 0 ? 1 : (count + columns - 1) / columns;
  const double row_height = figure.height - titles;
  const double width = figure.panel_width * static_cast<double>(columns);
  const double height = titles + row_height * static_cast<double>(rows);
  for (const Panel& panel : figure.panels) detail::require(panel);
  detail::Canvas canvas;
  canvas.rectangle({0.0, 0.0}, width, height, "fill=\"#ffffff\"");
  canvas.write({left, 34.0}, figure.title, "font-size=\"19\" font-weight=\"bold\"");
  canvas.write({left, 57.0}, figure.subtitle, "fill=\"#555555\"");
  for (std::size_t i = 0; i < count; ++i) {
    const double x = figure.panel_width * static_cast<double>(i % columns);
    const double y = titles + row_height * static_cast<double>(i / columns);
    detail::draw_panel(canvas, figure.panels[i], {x + left, y + 36.0},
                       {x + figure.panel_width - right, y + row_height - 62.0});
  }
  const std::string size = detail::number(width) + "\" height=\"" + detail::number(height) + "\"";
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"" + size + " viewBox=\"0 0 " +
         detail::number(width) + " " + detail::number(height) +
         "\" font-family=\"Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif\" font-size=\"13\" "
         "fill=\"#222222\">\n<title>" +
         escaped(figure.title) + "</title>\n" + canvas.text() + "</svg>\n";
}

/// The figure as one SVG document; throws as to_svg_element does.
inline std::string to_svg(const Figure& figure) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + to_svg_element(figure);
}

}  // namespace chart
