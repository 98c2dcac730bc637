#pragma once
/// Files read through a memory mapping and written so that a failure leaves the old file as it was (POSIX).

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vbp/core/descriptor.hpp"
#include "vbp/core/error.hpp"

namespace vbp::inline VBP_ABI::io {

namespace detail {

using vbp::detail::Descriptor;
using vbp::detail::throw_errno;

/// False, with errno set, if the data did not reach the disk; file systems that know no such operation pass.
inline bool synchronise(int descriptor) noexcept {
  while (::fsync(descriptor) != 0) {
    if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP || errno == EROFS) return true;
    if (errno != EINTR) return false;
  }
  return true;
}

}  // namespace detail

/// A whole file as read-only bytes, mapped and not copied; an empty file has no bytes.
/// Throws FileError if the path is missing, unreadable, a folder or a device. The bytes do not move when
/// the object does. They are the file's own: another process must not shorten it meanwhile.
class MappedFile {
 public:
  explicit MappedFile(std::filesystem::path path) : path_(std::move(path)) {
    // Opening a pipe must not wait for its writer: it is refused below.
    detail::Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!file.is_open() || ::fstat(file.get(), &status) != 0) {
      detail::throw_errno(path_, "cannot be read: ", errno);
    }
    if (S_ISDIR(status.st_mode)) throw FileError(path_.string(), "is a folder, not a file");
    if (!S_ISREG(status.st_mode)) throw FileError(path_.string(), "is not a regular file");
    if (status.st_size == 0) return;
    const auto size = static_cast<std::size_t>(status.st_size);
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) detail::throw_errno(path_, "cannot be mapped: ", errno);
    bytes_ = {static_cast<const std::byte*>(address), size};
  }

  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

/// A file that appears under its name only when it is complete: written under a temporary name in the same
/// folder, synchronised and renamed by commit(). Without commit() the temporary file is removed and the
/// destination stays as it was. A symbolic link is followed. Throws FileError for whatever goes wrong.
class AtomicFile {
 public:
  /// Creates the temporary file. Throws FileError, before anything is created, if the destination is a
  /// folder, a device or write-protected, or its name is none that a file can have.
  explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)), destination_(path_) {
    if (path_.filename().empty()) throw FileError(path_.string(), "is not the name of a file");
    mode_t mode = 0666;
    struct stat status {};
    if (::stat(path_.c_str(), &status) == 0) {
      if (S_ISDIR(status.st_mode)) throw FileError(path_.string(), "is a folder, not a file");
      if (!S_ISREG(status.st_mode)) throw FileError(path_.string(), "is not a regular file");
      if (::access(path_.c_str(), W_OK) != 0) detail::throw_errno(path_, "cannot be written: ", errno);
      destination_ = std::filesystem::canonical(path_);
      mode = status.st_mode & 0777U;  // a private file stays private
    } else if (errno != ENOENT) {
      // A name that is too long, a circle of links: the temporary name would not tell.
      detail::throw_errno(path_, "cannot be written: ", errno);
    }
    buffer_.reserve(kBufferBytes);
    create(mode);
  }

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() { discard(); }

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Bytes written so far.
  std::uint64_t size() const noexcept { return size_; }

  /// Appends; small pieces are collected. After a failure the temporary file is gone.
  void write(std::span<const std::byte> bytes) {
    require_open();
    size_ += bytes.size();
    if (buffer_.size() + bytes.size() > kBufferBytes) flush();
    if (bytes.size() > kBufferBytes) {
      write_through(bytes);
    } else {
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }
  }

  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Brings the complete file to the disk, under its temporary name still, so that of several files either
  /// all are committed or none. Throws FileError if the data does not get there.
  void prepare() {
    require_open();
    flush();
    if (!detail::synchronise(file_->get()) || !file_->close()) fail(errno);
    file_.reset();
  }

  /// Puts the complete file in the destination's place, prepared before or not. Throws FileError, the old
  /// file untouched, if the data does not reach the disk or the name cannot be taken.
  void commit() {
    if (file_ || temporary_.empty()) prepare();
    if (::rename(temporary_.c_str(), destination_.c_str()) != 0) fail(errno);
    temporary_.clear();
    // The rename is on disk when the folder is; a folder that may not be read cannot be synchronised.
    const detail::Descriptor folder(::open(folder_name().c_str(), O_RDONLY | O_CLOEXEC));
    if (folder.is_open() && !detail::synchronise(folder.get())) {
      detail::throw_errno(path_, "is written, but its folder could not be synchronised: ", errno);
    }
  }

 private:
  // Large enough that a system call costs nothing beside its copy.
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 18;
  // Some systems refuse a single write of 2 GiB or more.
  static constexpr std::size_t kWriteBytes = std::size_t{1} << 30;

  std::filesystem::path folder_name() const {
    const std::filesystem::path folder = destination_.parent_path();
    return folder.empty() ? std::filesystem::path(".") : folder;
  }

  void create(mode_t mode) {
    // The name does not grow from the destination's, which may be as long as names can be.
    static std::atomic<std::uint64_t> counter{0};
    const std::string stem = ".vbp-" + std::to_string(::getpid()) + "-";
    for (;;) {
      temporary_ = folder_name() / (stem + std::to_string(counter++) + ".tmp");
      const int descriptor = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
      if (descriptor >= 0) {
        file_.emplace(descriptor);
        return;
      }
      if (errno != EEXIST) {
        temporary_.clear();
        detail::throw_errno(path_, "cannot be written: ", errno);
      }
    }
  }

  void require_open() const {
    if (!file_) throw FileError(path_.string(), "is no longer open for writing");
  }

  void flush() {
    write_through(buffer_);
    buffer_.clear();
  }

  void write_through(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_->get(), bytes.data(), std::min(bytes.size(), kWriteBytes));
      if (written > 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(written));
      } else if (written == 0) {
        fail(ENOSPC);
      } else if (errno != EINTR) {
        fail(errno);
      }
    }
  }

  [[noreturn]] void fail(int code) {
    discard();
    detail::throw_errno(path_, "cannot be written: ", code);
  }

  void discard() noexcept {
    file_.reset();
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
  }

  std::filesystem::path path_;
  std::filesystem::path destination_;
  std::filesystem::path temporary_;         ///< empty once committed or discarded
  std::optional<detail::Descriptor> file_;  ///< none once prepared
  std::uint64_t size_ = 0;
  std::vector<std::byte> buffer_;
};

/// Writes a whole file through AtomicFile; throws FileError and leaves the old file if that fails.
inline void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace vbp::inline VBP_ABI::io
