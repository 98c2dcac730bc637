#pragma once
/// The errors that vbp throws. Every message is one line that says what is wrong with which input.

#include <stdexcept>
#include <string>
#include <utility>

namespace vbp {

/// Base of everything that vbp throws.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Matrices, vectors or models whose sizes do not fit together.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A value outside its valid range: NaN, a negative rate, an unreachable budget.
class ValueError : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be read, written or understood; the message starts with its path.
class FileError : public Error {
 public:
  FileError(const std::string& path, const std::string& reason) : Error(path + ": " + reason), path_(path) {}

  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

/// Work was stopped because its Context was cancelled. What it was about to change is not to be used.
class Cancelled : public Error {
 public:
  Cancelled() : Error("cancelled") {}
  using Error::Error;
};

/// Runs `work` and returns what it returns. A ShapeError or ValueError that it throws keeps its kind and gets
/// "context: " in front of its message.
template <class Work>
decltype(auto) with_context(const std::string& context, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const ShapeError& error) {
    throw ShapeError(context + ": " + error.what());
  } catch (const ValueError& error) {
    throw ValueError(context + ": " + error.what());
  }
}

/// The same for work on the content of a file: a ShapeError or ValueError becomes the FileError of `path`.
template <class Work>
decltype(auto) with_file(const std::string& path, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const ShapeError& error) {
    throw FileError(path, error.what());
  } catch (const ValueError& error) {
    throw FileError(path, error.what());
  }
}

}  // namespace vbp
