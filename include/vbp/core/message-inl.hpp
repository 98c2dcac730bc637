#pragma once

#include <string>

#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION std::string text_of(Message message) {
  std::string text;
  for (const MessagePart& part : message) {
    if (part.is_number()) {
      text += std::to_string(part.number());
    } else {
      text += part.text();
    }
  }
  return text;
}

VBP_FUNCTION [[noreturn]] void throw_shape_error(Message message) {
  throw ShapeError(text_of(message));
}

VBP_FUNCTION [[noreturn]] void throw_value_error(Message message) {
  throw ValueError(text_of(message));
}

VBP_FUNCTION [[noreturn]] void throw_file_error(const std::string& path, Message message) {
  throw FileError(path, text_of(message));
}

}  // namespace vbp::inline VBP_ABI
