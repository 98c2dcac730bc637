#pragma once
/// Builds error messages from texts and numbers. Code that throws an error calls only one function, which
/// keeps the headers cheap to compile.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "vbp/core/config.hpp"

namespace vbp::inline VBP_ABI {

/// A part of a message: a text or a whole number. It keeps a pointer to the text, which must live until the
/// message has been built.
class MessagePart {
 public:
  MessagePart(const char* text) : MessagePart(std::string_view(text)) {}
  MessagePart(const std::string& text) : MessagePart(std::string_view(text)) {}
  MessagePart(std::string_view text) : text_(text.data()), value_(static_cast<std::int64_t>(text.size())) {}
  template <std::integral N>
  MessagePart(N number) : value_(static_cast<std::int64_t>(number)) {}

  bool is_number() const noexcept { return text_ == nullptr; }
  std::int64_t number() const noexcept { return value_; }
  std::string_view text() const noexcept { return {text_, static_cast<std::size_t>(value_)}; }

 private:
  const char* text_ = nullptr;  ///< null for a number
  std::int64_t value_;          ///< the number, or the length of the text
};

using Message = std::initializer_list<MessagePart>;

/// Joins the parts into one text.
VBP_FUNCTION [[gnu::cold]] std::string text_of(Message message);

// The attribute `cold` tells the compiler to make the calling code small rather than fast.
VBP_FUNCTION [[noreturn, gnu::cold]] void throw_shape_error(Message message);
VBP_FUNCTION [[noreturn, gnu::cold]] void throw_value_error(Message message);
VBP_FUNCTION [[noreturn, gnu::cold]] void throw_file_error(const std::string& path, Message message);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/core/message-inl.hpp"
#endif
