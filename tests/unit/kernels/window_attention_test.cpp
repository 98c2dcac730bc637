#include "vbp/kernels/window_attention.hpp"

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/guarded.hpp"
#include "vbp/kernels/reference.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::kernels::WindowLayout;
using vbp_test::GuardedMatrix;
using vbp_test::kUnit;
using vbp_test::Oracle;
namespace kernels = vbp::kernels;

std::string text_of(const WindowLayout& layout) {
  return "side " + std::to_string(layout.side) + ", window " + std::to_string(layout.window) + ", shift " +
         std::to_string(layout.shift) + (layout.pad_before_shift ? ", padded first" : "");
}

/// Calls body(layout) for every layout of maps with sides up to `largest`, including shifts of more than half
/// a window.
template <class Body>
void for_each_layout(Index largest, Body&& body) {
  for (Index side = 1; side <= largest; ++side) {
    for (Index window = 1; window <= std::min<Index>(side, 5); ++window) {
      for (Index shift = 0; shift < (window < side ? window : 1); ++shift) {
        body(WindowLayout{side, window, shift, false});
        if (shift > 0 && side % window != 0) body(WindowLayout{side, window, shift, true});
      }
    }
  }
}

template <class T>
struct Case {
  WindowLayout layout;
  Index maps, heads, head_dim;
  GuardedMatrix<T> qkv, padding;
  Matrix<T> table;

  Case(const WindowLayout& in, Index map_count, Index head_count, Index width, vbp::Random& random,
       Index table_window = 0)
      : layout(in),
        maps(map_count),
        heads(head_count),
        head_dim(width),
        qkv(maps * in.side * in.side, 3 * head_count * width, 0, in.side % 17),
        padding(1, 3 * head_count * width, 0, in.window),
        table(square(2 * (table_window > 0 ? table_window : in.window) - 1), head_count) {
    qkv.fill(random);
    padding.fill(random);
    for (Index i = 0; i < table.size(); ++i) table.data()[i] = static_cast<T>(random.normal());
  }

  static Index square(Index side) { return side * side; }
  Index dim() const { return heads * head_dim; }
  Index pixels() const { return layout.side * layout.side; }

  GuardedMatrix<T> attend(int threads = 1) const {
    GuardedMatrix<T> out(qkv.rows(), dim(), layout.side % 4, 1);
    kernels::Workspace<T> workspace(threads);
    kernels::window_attention(qkv.data(), maps, kernels::PackedWindows<T>(layout, table, head_dim),
                              padding.data(), out.data(), out.stride(), workspace);
    CHECK(out.intact());
    return out;
  }

  /// The reference, computed with qkv and padding of another type.
  template <class O>
  Matrix<O> expected(const Matrix<O>& rows, const Matrix<O>& fill) const {
    Matrix<O> result(rows.rows(), dim());
    const Matrix<O> bias = table.template cast<O>();
    for (Index map = 0; map < maps; ++map) {
      const std::vector<O> of_map = kernels::reference::window_attention<O>(
          rows.data() + map * pixels() * 3 * dim(), layout.side, layout.window, layout.shift,
          layout.pad_before_shift, bias, head_dim, fill.data());
      std::copy(of_map.begin(), of_map.end(), result.data() + map * pixels() * dim());
    }
    return result;
  }
};

/// The largest error divided by its bound. The bound is that of attention_test.cpp, for scores as large as
/// |q| |k| / sqrt(d) plus a bias. A score that is lowered by 100 has a negligible weight.
template <class T>
double worst_error(const Case<T>& of, const GuardedMatrix<T>& out) {
  using O = Oracle<T>;
  constexpr O exp_error = std::is_same_v<T, float> ? O(2e-7) : 4 * kUnit<T>;
  const Matrix<O> rows = of.qkv.template values<O>();
  const Matrix<O> fill = of.padding.template values<O>();
  const Matrix<O> expected = of.template expected<O>(rows, fill);
  // The weights applied to the magnitudes of the values.
  Matrix<O> magnitudes = rows, fill_magnitudes = fill;
  magnitudes.rightCols(of.dim()) = magnitudes.rightCols(of.dim()).cwiseAbs().eval();
  fill_magnitudes.rightCols(of.dim()) = fill_magnitudes.rightCols(of.dim()).cwiseAbs().eval();
  const Matrix<O> weighted = of.template expected<O>(magnitudes, fill_magnitudes);
  const O bias = static_cast<O>(of.table.cwiseAbs().maxCoeff());
  vbp_test::WorstError<T> worst;
  for (Index head = 0; head < of.heads; ++head) {
    const Index first = head * of.head_dim;
    const auto largest = [&](Index part) {
      const Index column = part * of.dim() + first;
      return std::max(rows.middleCols(column, of.head_dim).rowwise().norm().maxCoeff(),
                      fill.middleCols(column, of.head_dim).norm());
    };
    const O score = largest(0) * largest(1) / std::sqrt(static_cast<O>(of.head_dim)) + bias;
    const O relative = 2 * static_cast<O>(of.head_dim + 3) * kUnit<T> * score + 2 * exp_error +
                       16 * kUnit<T> * score + static_cast<O>(2 * of.layout.tokens() + 4) * kUnit<T>;
    for (Index i = 0; i < rows.rows(); ++i) {
      for (Index j = first; j < first + of.head_dim; ++j) {
        worst.add(out(i, j), expected(i, j), relative * weighted(i, j));
      }
    }
  }
  return worst.value();
}

template <class T>
void check(const Case<T>& of, int threads = 1) {
  INFO(text_of(of.layout) << ", " << of.maps << " maps, " << of.heads << " heads of " << of.head_dim << ", "
                          << threads << " threads");
  REQUIRE(worst_error(of, of.attend(threads)) <= 1.0);
}

}  // namespace

TEST_CASE("windows hold the pixels that shifting, padding and cutting a map give", "[kernels][windows]") {
  for_each_layout(13, [](const WindowLayout& layout) {
    INFO(text_of(layout));
    std::vector<double> numbers;
    for (Index i = 0; i < layout.side * layout.side; ++i) numbers.push_back(static_cast<double>(i));
    const double padding = -1.0;
    const std::vector<double> expected = kernels::reference::window_partition(
        numbers.data(), layout.side, 1, layout.window, layout.shift, layout.pad_before_shift, &padding);
    const std::vector<std::int32_t> rows = kernels::window_rows(layout);
    REQUIRE(std::vector<double>(rows.begin(), rows.end()) == expected);
    REQUIRE(static_cast<Index>(rows.size()) == layout.windows() * layout.tokens());
    REQUIRE(kernels::reference::window_merge(expected, layout.side, 1, layout.window, layout.shift,
                                             layout.pad_before_shift) == numbers);
  });
}

TEMPLATE_TEST_CASE("attention within the windows of every layout", "[kernels][windows]", float, double) {
  vbp::Random random(1);
  for_each_layout(9, [&](const WindowLayout& layout) { check(Case<TestType>(layout, 1, 2, 5, random)); });
}

TEMPLATE_TEST_CASE("attention within windows of Swin's sizes", "[kernels][windows]", float, double) {
  vbp::Random random(2);
  check(Case<TestType>({14, 7, 3, false}, 2, 3, 32, random));
  check(Case<TestType>({10, 7, 3, true}, 1, 2, 32, random), 3);
  check(Case<TestType>({24, 12, 6, false}, 1, 1, 32, random), 2);
  check(Case<TestType>({15, 14, 7, false}, 1, 1, 24, random));
}

TEMPLATE_TEST_CASE("window attention of heads of every width", "[kernels][windows]", float, double) {
  vbp::Random random(3);
  for (const Index head_dim : {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65}) {
    check(Case<TestType>({5, 3, 1, false}, 2, 2, head_dim, random));
  }
}

TEMPLATE_TEST_CASE("a map smaller than its window uses the middle of the table", "[kernels][windows]", float,
                   double) {
  vbp::Random random(4);
  check(Case<TestType>({3, 3, 0, false}, 2, 2, 6, random, 7));
  check(Case<TestType>({1, 1, 0, false}, 2, 2, 6, random, 2));
}

TEMPLATE_TEST_CASE("window attention gives the same bits for any number of threads and in any batch",
                   "[kernels][windows]", float, double) {
  vbp::Random random(5);
  for (const WindowLayout& layout : {WindowLayout{11, 4, 2, false}, {8, 4, 2, false}, {3, 3, 0, false}}) {
    const Case<TestType> of(layout, 3, 2, 12, random);
    const Matrix<TestType> expected = of.attend().values();
    for (const int threads : {2, 3, 5, 8}) CHECK(of.attend(threads).values() == expected);
    Case<TestType> last(layout, 1, 2, 12, random);
    last.qkv.assign(of.qkv.values().bottomRows(of.pixels()));
    last.padding.assign(of.padding.values());
    last.table = of.table;
    CHECK(last.attend(2).values() == Matrix<TestType>(expected.bottomRows(of.pixels())));
  }
}

TEMPLATE_TEST_CASE("a large bias makes a pixel look at that neighbour alone", "[kernels][windows]", float,
                   double) {
  vbp::Random random(6);
  // Queries and keys are zero, so only the table determines the weights.
  Case<TestType> of({9, 3, 1, false}, 1, 1, 4, random);
  of.table.setZero();
  of.table((2 + 1) * 5 + 2 - 2, 0) = TestType(60);  // the key one pixel above and two to the right
  for (Index i = 0; i < of.qkv.rows(); ++i) {
    for (Index j = 0; j < 8; ++j) of.qkv(i, j) = TestType(0);
  }
  const GuardedMatrix<TestType> out = of.attend();
  Index found = 0;
  for (Index row = 0; row < 9; ++row) {
    for (Index column = 0; column < 9; ++column) {
      // Positions in the shifted map, whose windows of three begin at 0, 3 and 6. Its last row and column
      // come from the opposite end of the map.
      const Index shifted_row = (row + 8) % 9, shifted_column = (column + 8) % 9;
      const bool inside = shifted_row % 3 >= 1 && shifted_column % 3 == 0;
      const bool hidden = shifted_row == 8 || shifted_column + 2 == 8;
      if (!inside || hidden) continue;
      ++found;
      for (Index j = 0; j < 4; ++j) {
        CHECK(double{out(row * 9 + column, j)} ==
              Approx(double{of.qkv((row - 1) * 9 + column + 2, 8 + j)}).margin(1e-6));
      }
    }
  }
  CHECK(found == 5 * 2);
}

TEMPLATE_TEST_CASE("what lies at the opposite end of the map is not looked at", "[kernels][windows]", float,
                   double) {
  vbp::Random random(7);
  Case<TestType> of({6, 3, 1, false}, 1, 1, 4, random);
  const GuardedMatrix<TestType> before = of.attend();
  for (Index j = 0; j < 12; ++j) of.qkv(0, j) += TestType(1);  // the upper left pixel: a region of its own
  const GuardedMatrix<TestType> after = of.attend();
  for (Index i = 0; i < 36; ++i) {
    for (Index j = 0; j < 4; ++j) CHECK((before(i, j) == after(i, j)) == (i != 0));
  }
}
