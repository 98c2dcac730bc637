#include "vbp/core/types.hpp"

#include "support/catch.hpp"

using vbp::Index;

TEST_CASE("matrices are row-major", "[core][types]") {
  vbp::Matrix<float> matrix(2, 3);
  matrix << 0, 1, 2, 3, 4, 5;
  for (Index i = 0; i < 6; ++i) CHECK(matrix.data()[i] == static_cast<float>(i));
}

TEST_CASE("a view reads rows in place, and copies what lies otherwise", "[core][types]") {
  vbp::Matrix<double> matrix(4, 5);
  for (Index i = 0; i < 20; ++i) matrix.data()[i] = static_cast<double>(i);
  const vbp::MatrixView<double> whole = matrix;
  CHECK(whole.data() == matrix.data());
  const vbp::MatrixView<double> block = matrix.block(1, 2, 2, 3);
  CHECK(block.data() == &matrix(1, 2));
  CHECK(block.outerStride() == 5);
  CHECK(block(1, 2) == 14.0);
  const Eigen::MatrixXd column_major = matrix;
  const vbp::MatrixView<double> copied = column_major;
  CHECK(copied.data() != column_major.data());
  CHECK(copied == matrix);
  const vbp::Vector<double> vector = matrix.col(1);
  const vbp::VectorView<double> view = vector;
  CHECK(view.data() == vector.data());
}
