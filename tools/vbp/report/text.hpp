#pragma once
/// Numbers, names and tables as people read them.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tool {

/// 22,050,664.
std::string grouped(std::int64_t number);
/// 4.60 G, 22.05 M.
std::string scaled(double number);
/// -30.4 %.
std::string change(double before, double after);
/// A number with so many digits behind the point.
std::string fixed(double value, int digits);

/// A text from a file, or a file's name, made safe for a terminal: on one line, and without control
/// characters, which could do anything to the screen.
std::string printable(const std::string& text);

/// A table on stdout: the first `text_columns` columns are aligned left, the others right.
class Table {
 public:
  explicit Table(std::vector<std::string> header, std::size_t text_columns = 1)
      : text_columns_(text_columns) {
    add(std::move(header));
  }
  void add(std::vector<std::string> row);
  void print() const;

 private:
  std::size_t text_columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tool
