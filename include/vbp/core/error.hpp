#pragma once
/// The errors that vbp throws. Every message is one line that says what is wrong with which input.

#include <stdexcept>
#include <string>

namespace vbp {

/// Base of everything that vbp throws on bad input.
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
  FileError(const std::string& path, const std::string& reason) : Error(path + ": " + reason) {}
};

}  // namespace vbp
