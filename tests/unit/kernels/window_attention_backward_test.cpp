#include "vbp/kernels/window_attention_backward.hpp"

#include <limits>
#include <string>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "support/guarded.hpp"
#include "vbp/kernels/reference_backward.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::kernels::WindowLayout;
using vbp_test::gaussian;
using vbp_test::GuardedMatrix;
namespace kernels = vbp::kernels;

struct WindowShape {
  WindowLayout layout;
  Index maps, heads, head_dim;
  Index table_window;  ///< the window that the table is for, at least the layout's

  Index pixels() const { return layout.side * layout.side; }
  Index dim() const { return heads * head_dim; }
  Index table_rows() const { return (2 * table_window - 1) * (2 * table_window - 1); }
};

/// All inputs in double; the kernel gets them rounded to T.
struct WindowInputs {
  Matrix<double> qkv, gradient, padding, table;

  explicit WindowInputs(const WindowShape& s)
      : qkv(gaussian<double>(1, s.maps * s.pixels(), 3 * s.dim())),
        gradient(gaussian<double>(2, s.maps * s.pixels(), s.dim())),
        padding(gaussian<double>(3, 1, 3 * s.dim())),
        table(gaussian<double>(4, s.table_rows(), s.heads)) {}
};

template <class T>
struct WindowGradients {
  Matrix<T> qkv, padding, table;
};

template <class T>
WindowGradients<T> run(const WindowShape& s, const WindowInputs& in, int threads) {
  kernels::Workspace<T> workspace(threads);
  const Matrix<T> table = in.table.cast<T>();
  const kernels::PackedWindows<T> windows(s.layout, table, s.head_dim);
  const Index offset = s.layout.side % 5;
  GuardedMatrix<T> qkv(s.maps * s.pixels(), 3 * s.dim(), 0, offset);
  GuardedMatrix<T> d_qkv(s.maps * s.pixels(), 3 * s.dim(), 0, 1);
  GuardedMatrix<T> gradient(s.maps * s.pixels(), s.dim(), 0, 3);
  GuardedMatrix<T> padding(1, 3 * s.dim(), 0, 1), d_padding(1, 3 * s.dim(), 0, 2);
  GuardedMatrix<T> partial(1, kernels::window_attention_backward_elements(s.maps, windows));
  qkv.assign(in.qkv.cast<T>());
  gradient.assign(in.gradient.cast<T>());
  padding.assign(in.padding.cast<T>());
  Matrix<T> d_table = Matrix<T>::Constant(s.table_rows(), s.heads, T(5));
  kernels::window_attention_backward(qkv.data(), gradient.data(), s.maps, windows, padding.data(),
                                     d_qkv.data(), d_padding.data(), d_table, partial.data(), workspace);
  CHECK(d_qkv.intact());
  CHECK(d_padding.intact());
  CHECK(partial.intact());
  return {d_qkv.values(), d_padding.values(), d_table};
}

WindowGradients<double> expected_of(const WindowShape& s, const WindowInputs& in) {
  WindowGradients<double> result{Matrix<double>(in.qkv.rows(), in.qkv.cols()),
                                 Matrix<double>::Zero(1, 3 * s.dim()),
                                 Matrix<double>::Zero(s.table_rows(), s.heads)};
  for (Index map = 0; map < s.maps; ++map) {
    kernels::reference::window_attention_backward<double>(
        in.qkv.data() + map * s.pixels() * 3 * s.dim(), in.gradient.data() + map * s.pixels() * s.dim(),
        s.layout.side, s.layout.window, s.layout.shift, s.layout.pad_before_shift, in.table, s.head_dim,
        in.padding.data(), result.qkv.data() + map * s.pixels() * 3 * s.dim(), result.padding.data(),
        result.table);
  }
  return result;
}

/// The bound is relative to the norm, as for attention without windows. It covers products of depth `tokens`
/// and `head_dim` and a softmax with a relative error of 2e-7 (float), summed over maps and windows.
template <class T>
void check(const WindowShape& s) {
  INFO("side " << s.layout.side << ", window " << s.layout.window << ", shift " << s.layout.shift
               << (s.layout.pad_before_shift ? ", padded first" : "") << ", " << s.maps << " maps, "
               << s.heads << " heads of " << s.head_dim);
  const WindowInputs in(s);
  const WindowGradients<double> expected = expected_of(s, in);
  const WindowGradients<T> actual = run<T>(s, in, 1);
  const double bound = (8.0 + 2.0 * std::sqrt(static_cast<double>(s.layout.tokens() + s.head_dim))) *
                       static_cast<double>(std::numeric_limits<T>::epsilon());
  const auto distance = [](const Matrix<T>& a, const Matrix<double>& b) {
    return (a.template cast<double>() - b).norm();
  };
  CHECK(distance(actual.qkv, expected.qkv) <= bound * expected.qkv.norm());
  // These are sums over windows that may cancel, so the bound is relative to the size of the summands.
  const double windows = std::sqrt(static_cast<double>(s.maps * s.layout.windows()));
  CHECK(distance(actual.padding, expected.padding) <= windows * bound * expected.qkv.norm());
  CHECK(distance(actual.table, expected.table) <= windows * bound * in.gradient.norm());
  if (expected.table.norm() > 1e-3 * in.gradient.norm())
    CHECK(distance(actual.table, expected.table) <= 1e-3 * expected.table.norm());
}

}  // namespace

TEMPLATE_TEST_CASE("the backward pass of attention within windows of every layout is the reference's",
                   "[kernels][window]", float, double) {
  for (Index side = 1; side <= 7; ++side) {
    for (Index window = 1; window <= std::min<Index>(side, 4); ++window) {
      for (Index shift = 0; shift < (window < side ? window : 1); ++shift) {
        check<TestType>({{side, window, shift, false}, 2, 2, 3, window + side % 2});
        if (shift > 0 && side % window != 0) check<TestType>({{side, window, shift, true}, 1, 1, 8, window});
      }
    }
  }
}

TEMPLATE_TEST_CASE("the backward pass of attention within windows of every width of a head",
                   "[kernels][window]", float, double) {
  for (Index head_dim = 1; head_dim <= 34; ++head_dim) check<TestType>({{5, 3, 1, false}, 1, 2, head_dim, 3});
  // The window sizes of the published networks. The larger window has more queries than a block.
  check<TestType>({{14, 7, 3, false}, 2, 3, 32, 7});
  check<TestType>({{12, 12, 0, false}, 2, 1, 32, 12});
}

TEMPLATE_TEST_CASE(
    "the backward pass of attention within windows has the same bits for any number of threads",
    "[kernels][window]", float, double) {
  // 33 maps of one window form three tasks; 33 maps of four windows form nine.
  for (const WindowLayout& layout : {WindowLayout{4, 4, 0, false}, WindowLayout{5, 3, 1, false}}) {
    const WindowShape shape{layout, 33, 3, 8, layout.window};
    const WindowInputs in(shape);
    check<TestType>(shape);
    const WindowGradients<TestType> expected = run<TestType>(shape, in, 1);
    for (const int threads : {2, 5}) {
      const WindowGradients<TestType> other = run<TestType>(shape, in, threads);
      CHECK(other.qkv == expected.qkv);
      CHECK(other.padding == expected.padding);
      CHECK(other.table == expected.table);
    }
  }
}
