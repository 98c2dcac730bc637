#pragma once
/// Matrices that may be larger than memory (POSIX).

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <new>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp {

/// A row-major matrix [rows, cols], zero at first, in memory or in a file without a name, whose pages the
/// system keeps in memory while there is room and takes out of it where there is none. The file is gone with
/// the object, and with the process, however that ends.
template <class T>
class StoredMatrix {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  StoredMatrix() = default;

  /// In memory if `folder` is empty, else in a file there. Throws FileError, naming the folder, if it cannot
  /// be written to or has no room for all rows, std::bad_alloc if memory has none.
  StoredMatrix(Index rows, Index cols, std::filesystem::path folder = {})
      : folder_(std::move(folder)), rows_(rows), cols_(cols) {
    if (rows < 0 || cols < 0 || (cols > 0 && rows > std::numeric_limits<Index>::max() / cols / kBytes)) {
      throw ShapeError("a matrix of [" + std::to_string(rows) + ", " + std::to_string(cols) + "] is none");
    }
    mapped_ = static_cast<std::size_t>(size() * kBytes);
    if (mapped_ == 0) return;
    const int descriptor = folder_.empty() ? -1 : create();
    const int flags = folder_.empty() ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void* address = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, flags, descriptor, 0);
    const int error = errno;
    if (descriptor >= 0) ::close(descriptor);
    if (address == MAP_FAILED) {
      if (folder_.empty()) throw std::bad_alloc();
      fail("cannot be mapped: ", error);
    }
    data_ = static_cast<T*>(address);
  }

  StoredMatrix(StoredMatrix&& other) noexcept { swap(other); }
  StoredMatrix& operator=(StoredMatrix&& other) noexcept {
    swap(other);
    return *this;
  }
  ~StoredMatrix() {
    if (data_ != nullptr) ::munmap(data_, mapped_);
  }

  /// The same rows, stored in the same way.
  StoredMatrix copy() const {
    StoredMatrix result(rows_, cols_, folder_);
    result.middleRows(0, rows_) = middleRows(0, rows_);
    return result;
  }

  /// Drops the rows from `rows` on.
  void truncate(Index rows) noexcept { rows_ = std::min(rows_, rows); }

  Index rows() const noexcept { return rows_; }
  Index cols() const noexcept { return cols_; }
  Index size() const noexcept { return rows_ * cols_; }
  /// Where its file is; empty for memory.
  const std::filesystem::path& folder() const noexcept { return folder_; }

  Eigen::Map<Matrix<T>> middleRows(Index first, Index count) {
    eigen_assert(first >= 0 && count >= 0 && first + count <= rows_);
    return {data_ + first * cols_, count, cols_};
  }
  Eigen::Map<const Matrix<T>> middleRows(Index first, Index count) const {
    eigen_assert(first >= 0 && count >= 0 && first + count <= rows_);
    return {data_ + first * cols_, count, cols_};
  }

 private:
  static constexpr Index kBytes = static_cast<Index>(sizeof(T));

  [[noreturn]] void fail(const std::string& what, int code) const {
    throw FileError(folder_.string(), what + std::generic_category().message(code));
  }

  /// A descriptor of a file of which all bytes are there: a page that the disk has no room for would end
  /// the process when it is written.
  int create() const {
    std::string name = (folder_ / ".vbp-XXXXXX").string();
    const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor < 0) fail("cannot be written to: ", errno);
    ::unlink(name.c_str());
    int error = EINTR;
    while (error == EINTR) error = ::posix_fallocate(descriptor, 0, static_cast<off_t>(mapped_));
    if (error != 0) {
      ::close(descriptor);
      fail("has no room for " + std::to_string(mapped_) + " bytes: ", error);
    }
    return descriptor;
  }

  void swap(StoredMatrix& other) noexcept {
    std::swap(folder_, other.folder_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
    std::swap(data_, other.data_);
    std::swap(mapped_, other.mapped_);
  }

  std::filesystem::path folder_;
  Index rows_ = 0, cols_ = 0;
  T* data_ = nullptr;
  std::size_t mapped_ = 0;  ///< bytes
};

}  // namespace vbp
