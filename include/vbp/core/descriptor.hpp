#pragma once
/// POSIX file descriptors, and system errors turned into FileError.

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <unistd.h>

#include "vbp/core/error.hpp"

namespace vbp::inline VBP_ABI::detail {

[[noreturn]] inline void throw_errno(const std::filesystem::path& path, const std::string& what, int code) {
  throw FileError(path.string(), what + std::generic_category().message(code));
}

/// Owns a POSIX file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int value = -1) noexcept : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }

  int get() const noexcept { return value_; }
  bool is_open() const noexcept { return value_ >= 0; }

  /// Returns false and sets errno if the file system reports an error at closing.
  bool close() noexcept { return value_ < 0 || ::close(std::exchange(value_, -1)) == 0; }

 private:
  int value_;
};

}  // namespace vbp::inline VBP_ABI::detail
