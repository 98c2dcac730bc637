#pragma once
/// Numbers as text for messages and files.

#include <array>
#include <charconv>
#include <string>

namespace vbp::inline VBP_ABI {

/// The shortest text from which the same number can be read back: 0.1, 1e+308, nan.
inline std::string shortest_text(double value) {
  std::array<char, 32> text{};  // a double takes at most 24 characters
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace vbp::inline VBP_ABI
