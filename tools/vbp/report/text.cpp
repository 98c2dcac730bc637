#include "report/text.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace tool {

std::string grouped(std::int64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && digits[i - 1] != '-' && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string scaled(double number) {
  if (number >= 1e9) return fixed(number / 1e9, 2) + " G";
  if (number >= 1e6) return fixed(number / 1e6, 2) + " M";
  if (number >= 1e3) return fixed(number / 1e3, 2) + " k";
  return fixed(number, 0);
}

std::string change(double before, double after) {
  char text[64];
  std::snprintf(text, sizeof(text), "%+.1f %%", 100.0 * (after - before) / before);
  return text;
}

std::string printable(const std::string& text) {
  std::string shown;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // the control characters U+0080 to U+009F
      shown += '?';
      ++i;
    } else if (byte == '\n' || byte == '\r' || byte == '\t') {
      shown += ' ';
    } else {
      shown += byte < 0x20 || byte == 0x7f ? '?' : text[i];
    }
  }
  return shown;
}

namespace {

/// Characters of a UTF-8 text; of its bytes, those that begin one.
std::size_t length_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = printable(cell);
  rows_.push_back(std::move(row));
}

void Table::print() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t j = 0; j < row.size(); ++j) widths[j] = std::max(widths[j], length_of(row[j]));
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t j = 0; j < row.size(); ++j) {
      const std::string padding(widths[j] - length_of(row[j]), ' ');
      line += (j == 0 ? "" : "  ") + (j < text_columns_ ? row[j] + padding : padding + row[j]);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    std::cout << line << '\n';
  }
}

}  // namespace tool
