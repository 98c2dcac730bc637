#pragma once
/// Files read through a memory mapping and written so that a failure leaves the old file as it was (POSIX).

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "vbp/core/config.hpp"
#include "vbp/core/descriptor.hpp"

namespace vbp::inline VBP_ABI::io {

/// A whole file as read-only bytes, mapped and not copied; an empty file has no bytes. The bytes do not move
/// when the object does. Another process must not shorten the file meanwhile.
class MappedFile {
 public:
  /// Throws FileError if the path is missing, unreadable, a folder or a device.
  VBP_FUNCTION explicit MappedFile(std::filesystem::path path);

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
/// destination stays as it was. A symbolic link is followed. Every failure throws FileError.
class AtomicFile {
 public:
  /// Creates the temporary file. Throws FileError, before anything is created, if the destination is a
  /// folder, a device or write-protected, or if no file can have its name.
  VBP_FUNCTION explicit AtomicFile(std::filesystem::path path);

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() { discard(); }

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Bytes written so far.
  std::uint64_t size() const noexcept { return size_; }

  /// Appends; small pieces are buffered. A failure removes the temporary file.
  VBP_FUNCTION void write(std::span<const std::byte> bytes);
  VBP_FUNCTION void write(std::string_view text);

  /// Brings the complete file to the disk, still under its temporary name: of several files that are prepared
  /// before any is committed, either all are replaced or none. Throws FileError if the data does not get
  /// there.
  VBP_FUNCTION void prepare();

  /// Replaces the destination by the complete file, prepared before or not. Throws FileError if the data does
  /// not reach the disk or the file cannot be renamed; the old file is then unchanged.
  VBP_FUNCTION void commit();

 private:
  // Large enough that a system call costs nothing beside its copy.
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 18;
  // Some systems refuse a single write of 2 GiB or more.
  static constexpr std::size_t kWriteBytes = std::size_t{1} << 30;

  VBP_FUNCTION std::filesystem::path folder_name() const;
  VBP_FUNCTION void create(mode_t mode);
  VBP_FUNCTION void require_open() const;
  VBP_FUNCTION void flush();
  VBP_FUNCTION void write_through(std::span<const std::byte> bytes);
  VBP_FUNCTION [[noreturn]] void fail(int code);

  void discard() noexcept {
    file_.reset();
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
  }

  std::filesystem::path path_;
  std::filesystem::path destination_;
  std::filesystem::path temporary_;              ///< empty once committed or discarded
  std::optional<vbp::detail::Descriptor> file_;  ///< none once prepared
  std::uint64_t size_ = 0;
  std::vector<std::byte> buffer_;
};

/// Writes a whole file through AtomicFile; throws FileError and leaves the old file if that fails.
VBP_FUNCTION void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
VBP_FUNCTION void write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/file-inl.hpp"
#endif
