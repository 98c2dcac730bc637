#pragma once
/// Error messages from texts and numbers. Each costs its place of use one function call, which keeps the
/// headers cheap to compile.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "vbp/core/config.hpp"

namespace vbp::inline VBP_ABI {

/// A text or a whole number of a message. It refers to its text, which has to live until the message is made.
class MessagePart {
 public:
  MessagePart(const char* text) : text_(text) {}
  MessagePart(const std::string& text) : text_(text) {}
  MessagePart(std::string_view text) : text_(text) {}
  template <std::signed_integral N>
  MessagePart(N number) : number_(number), is_number_(true) {}
  template <std::unsigned_integral N>
  MessagePart(N number) : number_(static_cast<std::int64_t>(number)), is_number_(true) {}

  std::string_view text() const noexcept { return text_; }
  std::int64_t number() const noexcept { return number_; }
  bool is_number() const noexcept { return is_number_; }

 private:
  std::string_view text_;
  std::int64_t number_ = 0;
  bool is_number_ = false;
};

using Message = std::initializer_list<MessagePart>;

/// The parts one after the other.
VBP_FUNCTION std::string text_of(Message message);

VBP_FUNCTION [[noreturn]] void throw_shape_error(Message message);
VBP_FUNCTION [[noreturn]] void throw_value_error(Message message);
VBP_FUNCTION [[noreturn]] void throw_file_error(const std::string& path, Message message);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/core/message-inl.hpp"
#endif
