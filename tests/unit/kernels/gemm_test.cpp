#include "vbp/kernels/gemm.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"
#include "support/guarded.hpp"
#include "vbp/kernels/reference.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp_test::GuardedMatrix;
using vbp_test::kUnit;
using vbp_test::Oracle;
namespace kernels = vbp::kernels;
using kernels::EpilogueKind;

constexpr EpilogueKind kKinds[] = {EpilogueKind::bias, EpilogueKind::bias_gelu, EpilogueKind::bias_gelu_tanh,
                                   EpilogueKind::scaled_residual};

/// The operands of one product, each with its own gaps and offset.
template <class T>
struct Operands {
  GuardedMatrix<T> a, weight, bias, scale, residual;

  Operands(Index rows, Index columns, Index depth, vbp::Random& random)
      : a(rows, depth, rows % 4, columns % 17),
        weight(columns, depth, depth % 3, rows % 17),
        bias(1, columns, 0, depth % 17),
        scale(1, columns, 0, rows % 5),
        residual(rows, columns, columns % 6, depth % 9) {
    for (GuardedMatrix<T>* matrix : {&a, &weight, &bias, &scale, &residual}) matrix->fill(random);
  }

  kernels::PackedWeight<T> pack() const {
    using Map = Eigen::Map<const Matrix<T>, 0, Eigen::OuterStride<>>;
    return kernels::PackedWeight<T>(
        Map(weight.data(), weight.rows(), weight.columns(), Eigen::OuterStride<>(weight.stride())));
  }

  kernels::Epilogue<T> epilogue(EpilogueKind kind) const {
    if (kind != EpilogueKind::scaled_residual) return {.kind = kind, .bias = bias.data()};
    return {.kind = kind,
            .bias = bias.data(),
            .scale = scale.data(),
            .residual = residual.data(),
            .residual_stride = residual.stride()};
  }
};

template <class T>
void run(const GuardedMatrix<T>& a, const kernels::PackedWeight<T>& weight,
         const kernels::Epilogue<T>& epilogue, GuardedMatrix<T>& c, int threads = 1) {
  kernels::Workspace<T> workspace(threads);
  kernels::gemm(a.data(), a.stride(), a.rows(), weight, epilogue, c.data(), c.stride(), workspace);
}

/// The documented error bound of an activation whose result is x. It does not include the error of its
/// argument.
template <class T>
Oracle<T> activation_error(EpilogueKind kind, Oracle<T> x) {
  if constexpr (std::is_same_v<T, double>) return 16 * kUnit<T> * std::max<Oracle<T>>(1, std::abs(x));
  if (x > 1.9) return 4 * kUnit<T> * x;
  return kind == EpilogueKind::bias_gelu ? 1e-7 : 2e-7;
}

/// The largest error of C divided by its bound. A sum of `depth` products and the bias has an error of at
/// most (depth + 1) u times the sum of their magnitudes (Higham 2002, section 3.1), in any order. Either form
/// of GELU amplifies an error at most by 1.13, its largest slope. Scale and residual add two roundings.
template <class T>
double worst_error(const Operands<T>& operands, const kernels::Epilogue<T>& epilogue,
                   const GuardedMatrix<T>& c) {
  using O = Oracle<T>;
  const Matrix<O> a = operands.a.template values<O>();
  const Matrix<O> weight = operands.weight.template values<O>();
  const auto row = [](const GuardedMatrix<T>& values, const T* used, O otherwise) -> Matrix<O> {
    if (used == nullptr) return Matrix<O>::Constant(1, values.columns(), otherwise);
    return values.template values<O>();
  };
  const Matrix<O> bias = row(operands.bias, epilogue.bias, 0);
  const Matrix<O> scale = row(operands.scale, epilogue.scale, 1);
  Matrix<O> residual = operands.residual.template values<O>();
  if (epilogue.residual == nullptr) residual.setZero();

  Matrix<O> expected(c.rows(), c.columns());
  kernels::reference::gemm<O>(a.data(), a.cols(), a.rows(), weight,
                              {.kind = epilogue.kind,
                               .bias = bias.data(),
                               .scale = scale.data(),
                               .residual = residual.data(),
                               .residual_stride = residual.cols()},
                              expected.data(), expected.cols());
  const Matrix<O> products = a.cwiseAbs() * weight.cwiseAbs().transpose();
  const O roundings = static_cast<O>(a.cols() + 2) * kUnit<T>;
  vbp_test::WorstError<T> worst;
  for (Index i = 0; i < c.rows(); ++i) {
    for (Index j = 0; j < c.columns(); ++j) {
      const O magnitude = products(i, j) + std::abs(bias(0, j));
      O bound = roundings * magnitude;
      if (epilogue.kind == EpilogueKind::bias_gelu || epilogue.kind == EpilogueKind::bias_gelu_tanh) {
        bound = O(1.13) * bound + activation_error<T>(epilogue.kind, expected(i, j));
      }
      if (epilogue.kind == EpilogueKind::scaled_residual) {
        const O scaled = std::abs(scale(0, j)) * magnitude;
        bound = std::abs(scale(0, j)) * bound + 2 * kUnit<T> * (scaled + std::abs(residual(i, j)));
      }
      worst.add(c(i, j), expected(i, j), bound);
    }
  }
  return worst.value();
}

template <class T>
void check_product(Index rows, Index columns, Index depth, EpilogueKind kind, vbp::Random& random,
                   int threads = 1) {
  INFO(rows << " x " << columns << " x " << depth << ", epilogue " << static_cast<int>(kind) << ", "
            << threads << " threads");
  const Operands<T> operands(rows, columns, depth, random);
  GuardedMatrix<T> c(rows, columns, depth % 5, columns % 7);
  const kernels::Epilogue<T> epilogue = operands.epilogue(kind);
  run(operands.a, operands.pack(), epilogue, c, threads);
  REQUIRE(worst_error(operands, epilogue, c) <= 1.0);
  REQUIRE(c.intact());
}

}  // namespace

// A tile has 6 or 14 rows and two vectors of 2 to 16 lanes, depending on the machine.
TEMPLATE_TEST_CASE("gemm of all shapes around the tile", "[kernels][gemm]", float, double) {
  vbp::Random random(1);
  int turn = 0;
  for (const Index rows : {1, 2, 5, 6, 7, 12, 13, 14, 15, 27, 28, 29, 43}) {
    for (const Index columns : {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 97}) {
      for (const Index depth : {1, 2, 5, 17}) {
        check_product<TestType>(rows, columns, depth, kKinds[++turn % 4], random);
      }
    }
  }
}

TEMPLATE_TEST_CASE("gemm with every epilogue", "[kernels][gemm]", float, double) {
  vbp::Random random(2);
  for (const EpilogueKind kind : kKinds) {
    for (const Index rows : {1, 6, 14, 15}) {
      for (const Index columns : {1, 8, 17, 33, 70}) {
        for (const Index depth : {1, 64}) check_product<TestType>(rows, columns, depth, kind, random);
      }
    }
  }
}

// A slice has a depth of 2048 or 4096, depending on the machine's registers.
TEMPLATE_TEST_CASE("gemm of depths around one and several slices", "[kernels][gemm]", float, double) {
  vbp::Random random(3);
  int turn = 0;
  for (const Index depth : {191, 193, 768, 2047, 2048, 2049, 4095, 4096, 4097, 8193}) {
    for (const Index rows : {1, 15}) check_product<TestType>(rows, 37, depth, kKinds[++turn % 4], random);
  }
}

// The limit for the size of a block of rows is at least eight tiles, which are 48 or 112 rows. At a large
// depth it is exactly eight.
TEMPLATE_TEST_CASE("gemm of several blocks of rows", "[kernels][gemm]", float, double) {
  vbp::Random random(4);
  int turn = 0;
  for (const Index rows : {48, 49, 96, 97, 112, 113, 230}) {
    check_product<TestType>(rows, 37, 2400, kKinds[++turn % 4], random);
    check_product<TestType>(rows, 9, 4100, kKinds[++turn % 4], random, 3);
  }
  check_product<TestType>(700, 70, 300, EpilogueKind::bias, random, 2);
}

TEMPLATE_TEST_CASE("operands of the epilogue may be absent", "[kernels][gemm]", float, double) {
  vbp::Random random(5);
  const Operands<TestType> operands(15, 37, 20, random);
  const kernels::PackedWeight<TestType> weight = operands.pack();
  const auto check = [&](const kernels::Epilogue<TestType>& epilogue) {
    GuardedMatrix<TestType> c(15, 37);
    run(operands.a, weight, epilogue, c);
    CHECK(worst_error(operands, epilogue, c) <= 1.0);
  };
  for (const EpilogueKind kind : kKinds) check({.kind = kind});
  kernels::Epilogue<TestType> epilogue = operands.epilogue(EpilogueKind::scaled_residual);
  epilogue.bias = nullptr;
  check(epilogue);
  epilogue.scale = nullptr;
  check(epilogue);
  epilogue = operands.epilogue(EpilogueKind::scaled_residual);
  epilogue.residual = nullptr;
  check(epilogue);
}

TEMPLATE_TEST_CASE("the residual may be C", "[kernels][gemm]", float, double) {
  vbp::Random random(6);
  for (const auto& [rows, columns, depth] : {std::array<Index, 3>{15, 37, 20}, {130, 70, 4100}}) {
    const Operands<TestType> operands(rows, columns, depth, random);
    const kernels::PackedWeight<TestType> weight = operands.pack();
    kernels::Epilogue<TestType> epilogue = operands.epilogue(EpilogueKind::scaled_residual);
    GuardedMatrix<TestType> expected(rows, columns);
    run(operands.a, weight, epilogue, expected);
    for (const int threads : {1, 4}) {
      GuardedMatrix<TestType> c(rows, columns, 3, 5);
      c.assign(operands.residual.values());
      epilogue.residual = c.data();
      epilogue.residual_stride = c.stride();
      run(operands.a, weight, epilogue, c, threads);
      CHECK(c.values() == expected.values());
      CHECK(c.intact());
    }
  }
}

TEMPLATE_TEST_CASE("gemm gives the same bits for any number of threads", "[kernels][gemm]", float, double) {
  vbp::Random random(7);
  for (const auto& [rows, columns, depth] :
       {std::array<Index, 3>{1, 300, 40}, {50, 10, 385}, {197, 100, 64}, {130, 40, 4100}, {3, 3, 3}}) {
    const Operands<TestType> operands(rows, columns, depth, random);
    const kernels::PackedWeight<TestType> weight = operands.pack();
    for (const EpilogueKind kind : kKinds) {
      GuardedMatrix<TestType> expected(rows, columns);
      run(operands.a, weight, operands.epilogue(kind), expected);
      for (const int threads : {2, 3, 4, 8}) {
        INFO(rows << " x " << columns << " x " << depth << ", " << threads << " threads");
        GuardedMatrix<TestType> c(rows, columns, 1, 1);
        run(operands.a, weight, operands.epilogue(kind), c, threads);
        CHECK(c.values() == expected.values());
        CHECK(c.intact());
      }
    }
  }
}

TEMPLATE_TEST_CASE("a row of C depends on its row of A alone, to the bit", "[kernels][gemm]", float, double) {
  vbp::Random random(8);
  const Operands<TestType> operands(123, 41, 4100, random);
  const kernels::PackedWeight<TestType> weight = operands.pack();
  for (const EpilogueKind kind : kKinds) {
    GuardedMatrix<TestType> all(123, 41);
    run(operands.a, weight, operands.epilogue(kind), all);
    kernels::Workspace<TestType> workspace(1);
    for (const auto& [first, rows] : {std::pair<Index, Index>{0, 1}, {5, 2}, {60, 14}, {122, 1}, {3, 100}}) {
      GuardedMatrix<TestType> some(rows, 41);
      kernels::Epilogue<TestType> epilogue = operands.epilogue(kind);
      if (epilogue.residual != nullptr) epilogue.residual += first * epilogue.residual_stride;
      kernels::gemm(operands.a.data() + first * operands.a.stride(), operands.a.stride(), rows, weight,
                    epilogue, some.data(), some.stride(), workspace);
      CHECK(some.values() == Matrix<TestType>(all.values().middleRows(first, rows)));
    }
  }
}

TEMPLATE_TEST_CASE("NaN and infinity stay in their row or column", "[kernels][gemm]", float, double) {
  using Limits = std::numeric_limits<TestType>;
  vbp::Random random(9);
  Operands<TestType> operands(15, 37, 20, random);
  const kernels::Epilogue<TestType> epilogue = operands.epilogue(EpilogueKind::bias);
  operands.a(4, 11) = Limits::quiet_NaN();
  operands.weight(36, 3) = Limits::infinity();
  GuardedMatrix<TestType> c(15, 37);
  run(operands.a, operands.pack(), epilogue, c);
  CHECK(c.intact());
  for (Index i = 0; i < 15; ++i) {
    for (Index j = 0; j < 37; ++j) {
      if (i == 4) {
        CHECK(std::isnan(c(i, j)));
      } else {
        CHECK(std::isinf(c(i, j)) == (j == 36));
      }
    }
  }
}

TEMPLATE_TEST_CASE("no rows, nothing written", "[kernels][gemm]", float, double) {
  vbp::Random random(10);
  const Operands<TestType> operands(1, 5, 3, random);
  GuardedMatrix<TestType> c(0, 5, 0, 3);
  kernels::Workspace<TestType> workspace(2);
  kernels::gemm(operands.a.data(), operands.a.stride(), 0, operands.pack(), {}, c.data(), c.stride(),
                workspace);
  CHECK(c.intact());
}

TEMPLATE_TEST_CASE("a packed weight knows its shape", "[kernels][gemm]", float, double) {
  const kernels::PackedWeight<TestType> weight(Matrix<TestType>::Ones(65, 7));
  CHECK(weight.out() == 65);
  CHECK(weight.in() == 7);
  // The weight consists of whole panels; the last one is padded.
  CHECK(weight.bytes() >= 65 * 7 * static_cast<Index>(sizeof(TestType)));
  CHECK(weight.bytes() % (weight.panels() * 7 * static_cast<Index>(sizeof(TestType))) == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(weight.data()) % 64 == 0);
  const kernels::PackedWeight<TestType> none;
  CHECK(none.out() == 0);
  CHECK(none.bytes() == 0);
  CHECK_THROWS_AS(kernels::PackedWeight<TestType>(Matrix<TestType>(0, 4)), vbp::ShapeError);
  CHECK_THROWS_AS(kernels::PackedWeight<TestType>(Matrix<TestType>(4, 0)), vbp::ShapeError);
}
