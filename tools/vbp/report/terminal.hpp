#pragma once
/// The terminal: progress on it, and the signals that come from it.

#include <memory>

#include "options/common.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"

namespace tool {

/// SIGINT or SIGTERM has stopped the work, with something to be said of it: exit code 130. vbp::Cancelled
/// without more to say ends the same way.
class Interrupted : public vbp::Error {
 public:
  using vbp::Error::Error;
};

/// Whether SIGINT or SIGTERM has come since the program started.
bool interrupted() noexcept;
void set_signals();

class ProgressDisplay;

/// A subcommand's Context: its threads, a progress bar where stderr is a terminal, and SIGINT or SIGTERM as
/// the wish to stop.
class RunContext {
 public:
  explicit RunContext(const RunOptions& options);
  ~RunContext();
  RunContext(const RunContext&) = delete;
  RunContext& operator=(const RunContext&) = delete;

  operator const vbp::Context&() const noexcept { return context_; }
  const vbp::Context& operator*() const noexcept { return context_; }
  const vbp::Context* operator->() const noexcept { return &context_; }

  /// Takes the progress bar off the screen, before anything is printed.
  void clear_progress() const;

 private:
  std::unique_ptr<ProgressDisplay> display_;
  vbp::Context context_;
};

}  // namespace tool
