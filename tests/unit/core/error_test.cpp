#include "vbp/core/error.hpp"

#include <stdexcept>
#include <string>
#include <type_traits>

#include "support/catch.hpp"

TEST_CASE("every error of vbp is a vbp::Error and a runtime error", "[core][error]") {
  static_assert(std::is_base_of_v<std::runtime_error, vbp::Error>);
  static_assert(std::is_base_of_v<vbp::Error, vbp::ShapeError>);
  static_assert(std::is_base_of_v<vbp::Error, vbp::ValueError>);
  static_assert(std::is_base_of_v<vbp::Error, vbp::FileError>);
  CHECK_THROWS_AS(throw vbp::ShapeError("a"), vbp::Error);
  CHECK_THROWS_AS(throw vbp::ValueError("a"), std::exception);
  CHECK(std::string(vbp::ValueError("a message").what()) == "a message");
}

TEST_CASE("the error of a file starts with its path", "[core][error]") {
  CHECK(std::string(vbp::FileError("some/file", "is a folder").what()) == "some/file: is a folder");
}
