#include "report/terminal.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>

#include <unistd.h>

#include "report/text.hpp"

namespace tool {

namespace {

volatile std::sig_atomic_t stop_requested = 0;

}  // namespace

bool interrupted() noexcept {
  return stop_requested != 0;
}

void set_signals() {
  struct sigaction action = {};
  // The first signal asks for a clean end, the second one ends the program.
  action.sa_handler = [](int) { stop_requested = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A file that reaches a limit of its size makes the write fail, as a full disk does, instead of ending the
  // program.
  std::signal(SIGXFSZ, SIG_IGN);
}

/// A bar on stderr where that is a terminal, nothing elsewhere. It begins anew with each task.
class ProgressDisplay {
 public:
  void show(const vbp::ProgressUpdate& update) {
    using namespace std::chrono_literals;
    if (!terminal_ || update.total <= 0) return;
    const auto now = std::chrono::steady_clock::now();
    if (update.task != task_ || update.done < done_) begin(update, now);
    done_ = update.done;
    if (shown_ && update.done < update.total && now - last_ < 100ms) return;
    last_ = now;
    shown_ = true;
    draw(update, now);
  }

  void clear() {
    if (shown_) std::fputs("\r\033[K", stderr);
    shown_ = false;
    task_.clear();
  }

 private:
  using Time = std::chrono::steady_clock::time_point;

  void begin(const vbp::ProgressUpdate& update, Time now) {
    clear();
    task_ = update.task;
    begun_ = update.done;
    begin_ = now;
  }

  /// The rate and the time left, by what was done since the task began.
  std::string pace(const vbp::ProgressUpdate& update, Time now) const {
    if (update.done <= begun_) return "";
    const double seconds = std::max(1e-9, std::chrono::duration<double>(now - begin_).count());
    const double rate = static_cast<double>(update.done - begun_) / seconds;
    return "  " + fixed(rate, 1) + " " + update.unit + "/s  " +
           fixed(static_cast<double>(update.total - update.done) / rate, 0) + " s left";
  }

  void draw(const vbp::ProgressUpdate& update, Time now) const {
    constexpr int width = 30;
    const int filled = static_cast<int>(width * update.done / update.total);
    const std::string note = update.note.empty() ? "" : "  " + update.note;
    std::fprintf(stderr, "\r%s [%s%s] %lld/%lld%s\033[K", update.task.c_str(),
                 std::string(static_cast<std::size_t>(filled), '#').c_str(),
                 std::string(static_cast<std::size_t>(width - filled), '.').c_str(),
                 static_cast<long long>(update.done), static_cast<long long>(update.total),
                 (note + pace(update, now)).c_str());
    std::fflush(stderr);
  }

  bool terminal_ = isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
  std::string task_;
  std::int64_t begun_ = 0;  ///< done before the task began here; it counts for nothing in the rate
  std::int64_t done_ = 0;
  Time begin_, last_;
};

RunContext::RunContext(const RunOptions& options)
    : display_(std::make_unique<ProgressDisplay>()),
      context_(vbp::ContextOptions{
          .threads = options.threads,
          .progress = [display =
                           display_.get()](const vbp::ProgressUpdate& update) { display->show(update); },
          .cancelled = [] { return interrupted(); }}) {}

RunContext::~RunContext() {
  clear_progress();
}

void RunContext::clear_progress() const {
  display_->clear();
}

}  // namespace tool
