#include "vbp/kernels/detail/transpose.hpp"

#include "support/catch.hpp"
#include "support/guarded.hpp"
#include "vbp/kernels/entry.hpp"

namespace {

using vbp::Index;
using vbp_test::GuardedMatrix;
namespace detail = vbp::simd;

}  // namespace

TEMPLATE_TEST_CASE("a transpose of every size around the width of a vector", "[kernels][transpose]", float,
                   double) {
  for (Index rows = 1; rows <= 35; ++rows) {
    for (Index columns = 1; columns <= 35; ++columns) {
      INFO(rows << " rows, " << columns << " columns");
      GuardedMatrix<TestType> in(rows, columns, columns % 3, rows % 5);
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < columns; ++j) in(i, j) = static_cast<TestType>(100 * i + j);
      }
      GuardedMatrix<TestType> out(columns, rows, rows % 4, columns % 7);
      detail::transpose<xsimd::default_arch, TestType>(in.data(), rows, columns, in.stride(), out.data(),
                                                       out.stride());
      REQUIRE(out.values() == in.values().transpose());
      REQUIRE(out.intact());
    }
  }
}
