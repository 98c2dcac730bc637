#pragma once
/// Memory for kernels: aligned to a cache line, which is also the widest vector.

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
  /// Aligned by hand in a little more memory: glibc before 2.38 does not use again what an aligned
  /// allocation of the same size has given back, so that a buffer made anew for each batch fills the memory.
  explicit AlignedBuffer(Index size)
      : storage_(new std::byte[static_cast<std::size_t>(size) * sizeof(T) + kAlignment - 1]), size_(size) {}

  /// Makes room for at least `size` values; what was there is lost if it has to grow.
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
