#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vbp/core/message.hpp"
#include "vbp/io/file.hpp"

namespace vbp::inline VBP_ABI::io {

namespace detail {

using vbp::detail::Descriptor;
using vbp::detail::throw_errno;

/// False, with errno set, if the data did not reach the disk. File systems without such an operation pass.
VBP_FUNCTION bool synchronise(int descriptor) noexcept {
  while (::fsync(descriptor) != 0) {
    if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP || errno == EROFS) return true;
    if (errno != EINTR) return false;
  }
  return true;
}

}  // namespace detail

VBP_FUNCTION MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  // Without waiting for the writer of a pipe, which is refused below.
  detail::Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file.is_open() || ::fstat(file.get(), &status) != 0) {
    detail::throw_errno(path_, "cannot be read: ", errno);
  }
  if (S_ISDIR(status.st_mode)) throw_file_error(path_.string(), {"is a folder, not a file"});
  if (!S_ISREG(status.st_mode)) throw_file_error(path_.string(), {"is not a regular file"});
  if (status.st_size == 0) return;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) detail::throw_errno(path_, "cannot be mapped: ", errno);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

VBP_FUNCTION AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)), destination_(path_) {
  if (path_.filename().empty()) throw_file_error(path_.string(), {"is not the name of a file"});
  mode_t mode = 0666;
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) throw_file_error(path_.string(), {"is a folder, not a file"});
    if (!S_ISREG(status.st_mode)) throw_file_error(path_.string(), {"is not a regular file"});
    if (::access(path_.c_str(), W_OK) != 0) detail::throw_errno(path_, "cannot be written: ", errno);
    destination_ = std::filesystem::canonical(path_);
    mode = status.st_mode & 0777U;  // a private file stays private
  } else if (errno != ENOENT) {
    // A name that is too long or a circle of links: creating the temporary file would not show it.
    detail::throw_errno(path_, "cannot be written: ", errno);
  }
  buffer_.reserve(kBufferBytes);
  create(mode);
}

VBP_FUNCTION void AtomicFile::write(std::span<const std::byte> bytes) {
  require_open();
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() > kBufferBytes) {
    write_through(bytes);
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
}

VBP_FUNCTION void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text)));
}

VBP_FUNCTION void AtomicFile::prepare() {
  require_open();
  flush();
  if (!detail::synchronise(file_->get()) || !file_->close()) fail(errno);
  file_.reset();
}

VBP_FUNCTION void AtomicFile::commit() {
  if (file_ || temporary_.empty()) prepare();
  if (::rename(temporary_.c_str(), destination_.c_str()) != 0) fail(errno);
  temporary_.clear();
  // The rename is on disk when the folder is; a folder that may not be read cannot be synchronised.
  const detail::Descriptor folder(::open(folder_name().c_str(), O_RDONLY | O_CLOEXEC));
  if (folder.is_open() && !detail::synchronise(folder.get())) {
    detail::throw_errno(path_, "is written, but its folder could not be synchronised: ", errno);
  }
}

VBP_FUNCTION std::filesystem::path AtomicFile::folder_name() const {
  const std::filesystem::path folder = destination_.parent_path();
  return folder.empty() ? std::filesystem::path(".") : folder;
}

VBP_FUNCTION void AtomicFile::create(mode_t mode) {
  // The name does not contain the destination's, which may be as long as names can be.
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

VBP_FUNCTION void AtomicFile::require_open() const {
  if (!file_) throw_file_error(path_.string(), {"is no longer open for writing"});
}

VBP_FUNCTION void AtomicFile::flush() {
  write_through(buffer_);
  buffer_.clear();
}

VBP_FUNCTION void AtomicFile::write_through(std::span<const std::byte> bytes) {
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

VBP_FUNCTION [[noreturn]] void AtomicFile::fail(int code) {
  discard();
  detail::throw_errno(path_, "cannot be written: ", code);
}

VBP_FUNCTION void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

VBP_FUNCTION void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace vbp::inline VBP_ABI::io
