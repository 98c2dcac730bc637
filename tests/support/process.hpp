#pragma once
/// Runs programs as a user does, and reports what they print and return. They can run on a terminal, with
/// limits, and be interrupted.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"

namespace vbp_test {

/// The result of a program. `code` is its exit code, or the negative number of the signal that killed it.
struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

struct ProcessOptions {
  bool terminal = false;      ///< stderr is a terminal
  const char* out = nullptr;  ///< stdout goes to this file, and Outcome::out remains empty
  std::optional<rlim_t> file_bytes = std::nullopt;    ///< no file can grow larger than this
  std::optional<rlim_t> memory_bytes = std::nullopt;  ///< the address space cannot grow larger than this
};

/// A program that runs in parallel with the test, with an empty stdin. It is killed if it hangs.
class Process {
 public:
  explicit Process(std::vector<std::string> command, const ProcessOptions& options = {})
      : out_(std::tmpfile(), std::fclose), err_(std::tmpfile(), std::fclose) {
    REQUIRE((out_ && err_));
    int screen = -1;
    if (options.terminal) {
      terminal_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
      REQUIRE((terminal_ >= 0 && ::grantpt(terminal_) == 0 && ::unlockpt(terminal_) == 0));
      screen = ::open(::ptsname(terminal_), O_RDWR | O_NOCTTY | O_CLOEXEC);
      REQUIRE(screen >= 0);
    }
    std::vector<char*> arguments;
    for (std::string& argument : command) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      // Between fork and exec, only async-signal-safe functions are allowed.
      ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
      ::dup2(options.out ? ::open(options.out, O_WRONLY) : ::fileno(out_.get()), STDOUT_FILENO);
      ::dup2(options.terminal ? screen : ::fileno(err_.get()), STDERR_FILENO);
      limit(RLIMIT_FSIZE, options.file_bytes);
      limit(RLIMIT_AS, options.memory_bytes);
      ::alarm(kLongestSeconds);
      ::execv(arguments[0], arguments.data());
      ::_exit(127);
    }
    if (screen >= 0) ::close(screen);
  }

  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    if (terminal_ >= 0) ::close(terminal_);
  }

  /// Waits until `text` has appeared on the terminal.
  void wait_for(const std::string& text) {
    while (shown_.find(text) == std::string::npos) {
      INFO(shown_);
      REQUIRE(read_terminal());
    }
  }

  void send(int signal) const { REQUIRE(::kill(child_, signal) == 0); }

  /// Waits until the program ends, and returns its result.
  Outcome wait() {
    while (terminal_ >= 0 && read_terminal()) {
    }
    int status = 0;
    REQUIRE(::waitpid(std::exchange(child_, 0), &status, 0) > 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), content(out_.get()),
            terminal_ >= 0 ? shown_ : content(err_.get())};
  }

 private:
  // Far more than any test needs, and less than the time limit of a whole test.
  static constexpr unsigned kLongestSeconds = 600;

  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

  static void limit(decltype(RLIMIT_FSIZE) resource, const std::optional<rlim_t>& bytes) {
    if (!bytes) return;
    const rlimit both{*bytes, *bytes};
    ::setrlimit(resource, &both);
  }

  static std::string content(std::FILE* file) {
    std::string text;
    std::rewind(file);
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
    return text;
  }

  /// Reads more text from the terminal. Returns false if the program has closed it.
  bool read_terminal() {
    char text[4096];
    const ssize_t count = ::read(terminal_, text, sizeof(text));
    if (count > 0) shown_.append(text, static_cast<std::size_t>(count));
    return count > 0;
  }

  File out_, err_;
  int terminal_ = -1;
  pid_t child_ = 0;
  std::string shown_;
};

}  // namespace vbp_test
