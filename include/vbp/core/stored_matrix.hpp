#pragma once
/// Matrices that may be larger than main memory (POSIX only).

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vbp/core/descriptor.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// A row-major matrix [rows, cols] of zeros, in memory or in an unlinked temporary file. The file is mapped
/// into memory, so the system can write its pages out when memory runs short. The system deletes the file
/// when the object is destroyed or the process ends, even after a crash.
template <class T>
class StoredMatrix {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  StoredMatrix() = default;

  /// Allocates memory if `folder` is empty, and otherwise creates a file there. Throws ShapeError if the size
  /// is negative or overflows Index. Throws FileError with the folder's path if the folder cannot be written
  /// to or has too little space for all rows. Throws std::bad_alloc if memory cannot be allocated.
  StoredMatrix(Index rows, Index cols, std::filesystem::path folder = {})
      : folder_(std::move(folder)), rows_(rows), cols_(cols) {
    if (rows < 0 || cols < 0 || (cols > 0 && rows > std::numeric_limits<Index>::max() / cols / kBytes)) {
      throw ShapeError("a matrix cannot have the shape [" + std::to_string(rows) + ", " +
                       std::to_string(cols) + "]");
    }
    mapped_ = static_cast<std::size_t>(size() * kBytes);
    if (mapped_ == 0) return;
    const detail::Descriptor file = folder_.empty() ? detail::Descriptor() : create();
    const int flags = file.is_open() ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void* address = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, flags, file.get(), 0);
    if (address == MAP_FAILED) {
      if (!file.is_open()) throw std::bad_alloc();
      detail::throw_errno(folder_, "cannot be mapped: ", errno);
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

  /// A copy of the contents, stored in the same place (memory or folder).
  StoredMatrix copy() const {
    StoredMatrix result(rows_, cols_, folder_);
    result.middleRows(0, rows_) = middleRows(0, rows_);
    return result;
  }

  /// Keeps only the first `rows` rows.
  void truncate(Index rows) noexcept { rows_ = std::min(rows_, rows); }

  Index rows() const noexcept { return rows_; }
  Index cols() const noexcept { return cols_; }
  Index size() const noexcept { return rows_ * cols_; }
  /// The folder of the file; empty if the matrix is in memory.
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

  /// Creates an unlinked file and reserves all its bytes. Without the reservation, writing to a mapped page
  /// on a full disk would kill the process.
  detail::Descriptor create() const {
    std::string name = (folder_ / ".vbp-XXXXXX").string();
    detail::Descriptor file(::mkostemp(name.data(), O_CLOEXEC));
    if (!file.is_open()) detail::throw_errno(folder_, "cannot be written to: ", errno);
    ::unlink(name.c_str());
    int error = EINTR;
    while (error == EINTR) error = ::posix_fallocate(file.get(), 0, static_cast<off_t>(mapped_));
    if (error != 0) {
      detail::throw_errno(folder_, "has no room for " + std::to_string(mapped_) + " bytes: ", error);
    }
    return file;
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

}  // namespace vbp::inline VBP_ABI
