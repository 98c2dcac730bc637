#include "vbp/io/file.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>

#include "support/catch.hpp"
#include "support/folder.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::FileError;
using vbp::io::AtomicFile;
using vbp::io::MappedFile;
using vbp::io::write_file_atomically;
using vbp_test::read_file;
using vbp_test::TemporaryFolder;

void put(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

/// Permissions do not bind the superuser.
bool is_superuser() {
  return ::geteuid() == 0;
}

/// The process may write files of so many bytes only, so that the disk seems full behind them.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit old_{};
};

}  // namespace

TEST_CASE("a mapped file is its bytes", "[file]") {
  const TemporaryFolder folder;
  const std::string text("a\0b\nc", 5);
  put(folder / "some", text);
  put(folder / "empty", "");
  MappedFile file(folder / "some");
  CHECK(text_of(file) == text);
  CHECK(file.path() == folder / "some");
  CHECK(MappedFile(folder / "empty").bytes().empty());
}

TEST_CASE("a mapping moves with its owner", "[file]") {
  const TemporaryFolder folder;
  put(folder / "a", "first");
  put(folder / "b", "second");
  MappedFile a(folder / "a");
  const auto* address = a.bytes().data();
  MappedFile moved(std::move(a));
  CHECK(moved.bytes().data() == address);
  CHECK(a.bytes().empty());
  moved = MappedFile(folder / "b");
  CHECK(text_of(moved) == "second");
  CHECK(moved.path() == folder / "b");
}

TEST_CASE("a mapping outlives its file's name", "[file]") {
  const TemporaryFolder folder;
  put(folder / "a", "old");
  const MappedFile file(folder / "a");
  write_file_atomically(folder / "a", "newer");
  CHECK(text_of(file) == "old");
  CHECK(read_file(folder / "a") == "newer");
}

TEST_CASE("what cannot be mapped is named with the reason", "[file]") {
  const TemporaryFolder folder;
  const std::string name = (folder / "x").string();
  CHECK_THROWS_WITH(MappedFile(folder / "x"), name + ": cannot be read: No such file or directory");
  CHECK_THROWS_AS(MappedFile(folder / "x"), FileError);
  CHECK_THROWS_WITH(MappedFile(folder.path()), folder.path().string() + ": is a folder, not a file");
  CHECK_THROWS_WITH(MappedFile("/dev/zero"), "/dev/zero: is not a regular file");
  REQUIRE(::mkfifo(name.c_str(), 0600) == 0);
  CHECK_THROWS_WITH(MappedFile(name), name + ": is not a regular file");
  put(folder / "secret", "secret");
  fs::permissions(folder / "secret", fs::perms::none);
  if (!is_superuser()) {
    CHECK_THROWS_WITH(MappedFile(folder / "secret"),
                      (folder / "secret").string() + ": cannot be read: Permission denied");
  }
}

TEST_CASE("a file is written whole and leaves nothing beside it", "[file]") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "text");
  CHECK(read_file(folder / "a") == "text");
  write_file_atomically(folder / "a", std::string_view());
  CHECK(read_file(folder / "a").empty());
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("pieces of any size arrive in order", "[file]") {
  const TemporaryFolder folder;
  std::string expected;
  AtomicFile file(folder / "a");
  // Around the buffer's size of 2^18 bytes, and nothing at all.
  for (const std::size_t size :
       std::vector<std::size_t>{1, 0, 262143, 1, 262144, 262145, 7, 1000000, 0, 3, 131072, 131072, 131072}) {
    std::string piece(size, '\0');
    for (std::size_t i = 0; i < size; ++i) piece[i] = static_cast<char>((expected.size() + i) * 7919 >> 8);
    file.write(piece);
    expected += piece;
  }
  CHECK_FALSE(fs::exists(folder / "a"));
  file.commit();
  CHECK(read_file(folder / "a") == expected);
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("without commit the old file stays and the temporary one goes", "[file]") {
  const TemporaryFolder folder;
  put(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write(std::string(1000000, 'x'));
    CHECK(entries(folder.path()) == 2);
    CHECK(read_file(folder / "a") == "old");
  }
  CHECK(entries(folder.path()) == 1);
  CHECK(read_file(folder / "a") == "old");
}

TEST_CASE("several writers of one name do not meet", "[file]") {
  const TemporaryFolder folder;
  AtomicFile first(folder / "a");
  AtomicFile second(folder / "a");
  first.write("first");
  second.write("second");
  second.commit();
  CHECK(read_file(folder / "a") == "second");
  first.commit();
  CHECK(read_file(folder / "a") == "first");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a temporary name that is taken is passed over", "[file]") {
  const TemporaryFolder folder;
  fs::path taken;
  {
    const AtomicFile file(folder / "a");
    taken = fs::directory_iterator(folder.path())->path();
  }
  // The names count up: the next ones of this process are in the way.
  const std::string name = taken.filename().string();
  const auto dash = name.rfind('-');
  const auto number = std::stoull(name.substr(dash + 1));
  for (unsigned i = 1; i <= 3; ++i) {
    put(folder / (name.substr(0, dash + 1) + std::to_string(number + i) + ".tmp"), "not ours");
  }
  write_file_atomically(folder / "a", "text");
  CHECK(read_file(folder / "a") == "text");
  CHECK(entries(folder.path()) == 4);
}

TEST_CASE("a symbolic link is followed and permissions are kept", "[file]") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "sub");
  put(folder / "sub/real", "old");
  fs::permissions(folder / "sub/real", fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("sub/real", folder / "link");
  write_file_atomically(folder / "link", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(read_file(folder / "sub/real") == "new");
  CHECK(fs::status(folder / "sub/real").permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("the longest name that the file system takes can be written", "[file]") {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  write_file_atomically(folder / name, "text");
  CHECK(read_file(folder / name) == "text");
}

TEST_CASE("a destination that cannot be is refused before anything is created", "[file]") {
  const TemporaryFolder folder;
  const std::string missing = (folder / "no/a").string();
  CHECK_THROWS_WITH(AtomicFile(missing), missing + ": cannot be written: No such file or directory");
  CHECK_THROWS_AS(AtomicFile(missing), FileError);
  CHECK_THROWS_WITH(AtomicFile(folder.path()), folder.path().string() + ": is a folder, not a file");
  CHECK_THROWS_WITH(AtomicFile("/dev/full"), "/dev/full: is not a regular file");
  CHECK_THROWS_WITH(AtomicFile(""), ": is not the name of a file");
  CHECK_THROWS_WITH(AtomicFile(folder / "new/"), (folder / "new/").string() + ": is not the name of a file");
  const std::string long_name = (folder / std::string(256, 'n')).string();
  CHECK_THROWS_WITH(AtomicFile(long_name), long_name + ": cannot be written: File name too long");
  put(folder / "a", "old");
  CHECK_THROWS_WITH(AtomicFile(folder / "a/b"),
                    (folder / "a/b").string() + ": cannot be written: Not a directory");
  fs::permissions(folder / "a", fs::perms::owner_read);
  if (!is_superuser()) {
    CHECK_THROWS_WITH(AtomicFile(folder / "a"),
                      (folder / "a").string() + ": cannot be written: Permission denied");
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    CHECK_THROWS_WITH(AtomicFile(folder / "b"),
                      (folder / "b").string() + ": cannot be written: Permission denied");
    fs::permissions(folder.path(), fs::perms::owner_all);
  }
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a full disk leaves the old file and nothing else", "[file]") {
  const TemporaryFolder folder;
  put(folder / "a", "old");
  const std::string reason = (folder / "a").string() + ": cannot be written: File too large";
  const std::string large(1000000, 'x');
  std::string one_write, many_writes, at_commit, after;
  {
    const FileSizeLimit limit(100000);
    try {
      write_file_atomically(folder / "a", large);
    } catch (const FileError& error) {
      one_write = error.what();
    }
    try {
      AtomicFile file(folder / "a");
      for (int i = 0; i < 1000; ++i) file.write(std::string(1000, 'x'));
    } catch (const FileError& error) {
      many_writes = error.what();
    }
    AtomicFile file(folder / "a");
    file.write(std::string(200000, 'x'));  // less than the buffer holds
    try {
      file.commit();
    } catch (const FileError& error) {
      at_commit = error.what();
    }
    try {
      file.commit();
    } catch (const FileError& error) {
      after = error.what();
    }
  }
  CHECK(one_write == reason);
  CHECK(many_writes == reason);
  CHECK(at_commit == reason);
  CHECK(after == (folder / "a").string() + ": is no longer open for writing");
  CHECK(read_file(folder / "a") == "old");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a name that is taken meanwhile fails the commit", "[file]") {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a");
  file.write("text");
  fs::create_directory(folder / "a");
  CHECK_THROWS_WITH(file.commit(), (folder / "a").string() + ": cannot be written: Is a directory");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a committed file is closed", "[file]") {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a");
  file.write("text");
  file.commit();
  CHECK_THROWS_AS(file.write("more"), FileError);
  CHECK_THROWS_AS(file.commit(), FileError);
  CHECK(read_file(folder / "a") == "text");
}

TEST_CASE("files that are prepared only have to take their names", "[file]") {
  const TemporaryFolder folder;
  put(folder / "a", "old");
  {
    AtomicFile first(folder / "a"), second(folder / "b");
    first.write("some ");
    first.write("text");
    CHECK(first.size() == 9);
    first.prepare();
    CHECK(read_file(folder / "a") == "old");
    CHECK_THROWS_AS(first.write("more"), FileError);
    CHECK_THROWS_AS(first.prepare(), FileError);
    second.write("other");
    {
      // All is on the disk already.
      const FileSizeLimit limit(0);
      CHECK_THROWS_AS(second.prepare(), FileError);
      first.commit();
    }
    CHECK(read_file(folder / "a") == "some text");
    CHECK_THROWS_AS(first.commit(), FileError);
  }
  AtomicFile left(folder / "a");
  left.prepare();
  CHECK(entries(folder.path()) == 2);
  {
    AtomicFile dropped(folder / "c");
    dropped.write("text");
    dropped.prepare();
  }
  CHECK(entries(folder.path()) == 2);
  left.commit();
  CHECK(read_file(folder / "a").empty());
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("an error of a file knows the path", "[file]") {
  const TemporaryFolder folder;
  const fs::path missing = folder / "missing";
  try {
    const MappedFile file(missing);
    FAIL("a missing file was opened");
  } catch (const FileError& error) {
    CHECK(error.path() == missing.string());
    CHECK(error.what() == missing.string() + ": cannot be read: No such file or directory");
  }
  try {
    const AtomicFile file(folder.path());
    FAIL("a folder was opened for writing");
  } catch (const FileError& error) {
    CHECK(error.path() == folder.path().string());
  }
}
