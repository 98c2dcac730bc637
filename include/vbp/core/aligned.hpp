#pragma once
/// Memory for kernels, aligned to 64 bytes: a cache line, and also the widest vector register.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// A fixed-size array of trivial values, aligned to 64 bytes and uninitialised.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBuffer() = default;
  /// The alignment is done by hand inside a slightly larger allocation. glibc before 2.38 does not reuse a
  /// freed block for the next aligned allocation of the same size, so a buffer that is allocated anew for
  /// each batch would fill the memory.
  explicit AlignedBuffer(Index size)
      : storage_(new std::byte[static_cast<std::size_t>(size) * sizeof(T) + kAlignment - 1]), size_(size) {}

  /// Grows to at least `size` values; growing discards the old contents.
  void reserve(Index size) {
    if (size > size_) *this = AlignedBuffer(size);
  }

  T* data() noexcept { return aligned(); }
  const T* data() const noexcept { return aligned(); }
  Index size() const noexcept { return size_; }

 private:
  T* aligned() const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.get());
    return reinterpret_cast<T*>((address + kAlignment - 1) / kAlignment * kAlignment);
  }

  std::unique_ptr<std::byte[]> storage_;
  Index size_ = 0;
};

}  // namespace vbp::inline VBP_ABI
