#include "vbp/core/stored_matrix.hpp"

#include <filesystem>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/core/error.hpp"

namespace fs = std::filesystem;

using vbp::Index;
using vbp::Matrix;
using vbp::StoredMatrix;

TEST_CASE("a stored matrix keeps its rows, in memory as in a file", "[core][stored_matrix]") {
  const vbp_test::TemporaryFolder folder;
  for (const fs::path& where : {fs::path(), folder.path()}) {
    StoredMatrix<float> stored(1000, 7, where);
    CHECK(stored.rows() == 1000);
    CHECK(stored.cols() == 7);
    CHECK(stored.folder() == where);
    CHECK(stored.middleRows(0, 1000).isZero(0.0F));
    const Matrix<float> rows = Matrix<float>::Random(3, 7);
    stored.middleRows(997, 3) = rows;
    const StoredMatrix<float> twin = stored.copy();
    stored.middleRows(997, 3).setZero();
    CHECK(twin.middleRows(997, 3) == rows);
    CHECK(twin.middleRows(0, 997).isZero(0.0F));
    CHECK(twin.folder() == where);
    StoredMatrix<float> moved = std::move(stored);
    moved.truncate(20);
    CHECK(moved.rows() == 20);
    CHECK(moved.copy().rows() == 20);
    // The file is unlinked, so no file is left behind.
    CHECK(fs::is_empty(folder.path()));
  }
}

TEST_CASE("a stored matrix without rows is one", "[core][stored_matrix]") {
  const vbp_test::TemporaryFolder folder;
  CHECK(StoredMatrix<double>().size() == 0);
  CHECK(StoredMatrix<double>(0, 5, folder.path()).copy().middleRows(0, 0).cols() == 5);
}

TEST_CASE("what cannot be stored is refused, and says where", "[core][stored_matrix]") {
  const vbp_test::TemporaryFolder folder;
  const auto message = [](Index rows, const fs::path& where) -> std::string {
    try {
      StoredMatrix<double> stored(rows, 8, where);
    } catch (const vbp::FileError& error) {
      return error.what();
    }
    return "";
  };
  const fs::path missing = folder / "missing";
  CHECK(message(10, missing).find(missing.string() + ": cannot be written to") == 0);
  // One exabyte.
  CHECK(message(Index{1} << 54, folder.path()).find(folder.path().string() + ": has no room for") == 0);
  CHECK(fs::is_empty(folder.path()));
  CHECK_THROWS_AS(StoredMatrix<double>(Index{1} << 60, 8), vbp::ShapeError);
  CHECK_THROWS_AS(StoredMatrix<double>(-1, 8), vbp::ShapeError);
  CHECK_THROWS_AS(StoredMatrix<double>(Index{1} << 54, 8), std::bad_alloc);
}
