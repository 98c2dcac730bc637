#pragma once
/// The errors that vbp throws. Every message is one line that says what is wrong with which input.

#include <stdexcept>
#include <string>
#include <utility>

namespace vbp {

/// Base class of every exception that vbp throws itself.
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

/// A file that cannot be read, written or parsed; the message starts with its path.
class FileError : public Error {
 public:
  FileError(const std::string& path, const std::string& reason) : Error(path + ": " + reason), path_(path) {}

  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

/// The work stopped because its Context was cancelled. Objects that it was modifying must not be used
/// afterwards, unless the function says otherwise.
class Cancelled : public Error {
 public:
  Cancelled() : Error("cancelled") {}
  using Error::Error;
};

namespace error_detail {

inline std::string joined(const std::string& context, const char* reason) {
  std::string text = context;
  text += ": ";
  return text += reason;
}

/// Throws the ShapeError or ValueError that is being handled again, with the context in front of its message,
/// and everything else as it is. One function, so that each use of with_context compiles to little.
[[noreturn, gnu::cold]] inline void rethrow_with_context(const std::string& context) {
  try {
    throw;
  } catch (const ShapeError& error) {
    throw ShapeError(joined(context, error.what()));
  } catch (const ValueError& error) {
    throw ValueError(joined(context, error.what()));
  }
}

/// The same as a FileError for `path`.
[[noreturn, gnu::cold]] inline void rethrow_with_file(const std::string& path) {
  try {
    throw;
  } catch (const ShapeError& error) {
    throw FileError(path, error.what());
  } catch (const ValueError& error) {
    throw FileError(path, error.what());
  }
}

}  // namespace error_detail

/// Calls `work` and returns its result. If it throws a ShapeError or ValueError, throws the same kind of
/// error with "context: " in front of the message.
template <class Work>
decltype(auto) with_context(const std::string& context, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error&) {
    error_detail::rethrow_with_context(context);
  }
}

/// Like with_context, for work on the contents of a file: turns a ShapeError or ValueError into a FileError
/// for `path`.
template <class Work>
decltype(auto) with_file(const std::string& path, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error&) {
    error_detail::rethrow_with_file(path);
  }
}

}  // namespace vbp
