#pragma once
/// Memory for kernels: aligned to a cache line, which is also the widest vector.

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>

#include "vbp/core/types.hpp"

namespace vbp {

/// A fixed-size array of trivial values, aligned to 64 bytes and uninitialised.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBuffer() = default;
  explicit AlignedBuffer(Index size)
      : data_(static_cast<T*>(
            ::operator new (static_cast<std::size_t>(size) * sizeof(T), std::align_val_t{kAlignment}))),
        size_(size) {}

  /// Makes room for at least `size` values; what was there is lost if it has to grow.
  void reserve(Index size) {
    if (size > size_) *this = AlignedBuffer(size);
  }

  T* data() noexcept { return data_.get(); }
  const T* data() const noexcept { return data_.get(); }
  Index size() const noexcept { return size_; }

 private:
  struct Free {
    void operator()(T* data) const noexcept { ::operator delete (data, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<T[], Free> data_;
  Index size_ = 0;
};

}  // namespace vbp
