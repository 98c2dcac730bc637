#pragma once
/// Numbers as messages and files show them.

#include <array>
#include <charconv>
#include <string>

namespace vbp::inline VBP_ABI {

/// The shortest text that reads back as the same number: 0.1, 1e+308, nan.
inline std::string shortest_text(double value) {
  std::array<char, 32> text{};  // 24 letters are the most that a double takes
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace vbp::inline VBP_ABI
