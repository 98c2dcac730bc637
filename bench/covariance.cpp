/// Covariance of the hidden activations of eight images. Operations are counted for the products of all pairs
/// of columns, of which symmetry leaves half. Our row also includes packing, computing the mean, and adding
/// sums of at most 256 float32 products in float64. If OpenBLAS is installed, its ssyrk of the same batch is
/// a second row; it neither packs deviations nor computes a mean. The result is the best of many runs, each
/// between two runs of the multiply-add loop.

#include "vbp/stats/covariance.hpp"

#include "common.hpp"
#include "vbp/kernels/syrk.hpp"

#if defined(VBP_BENCH_OPENBLAS)
#include <cblas.h>
extern "C" void openblas_set_num_threads(int);
#endif

namespace {

using vbp::Index;
using vbp::Matrix;

constexpr Index kRows = 8 * bench::kTokens;

Matrix<float> samples(Index columns) {
  const vbp::AlignedBuffer<float> values = bench::random_values(kRows * columns, 1);
  return Eigen::Map<const Matrix<float>>(values.data(), kRows, columns);
}

/// Two operations for each pair of columns and each row.
double operations(Index columns) {
  return static_cast<double>(kRows) * static_cast<double>(columns * (columns + 1));
}

void ours(benchmark::State& state, Index columns) {
  const Matrix<float> rows = samples(columns);
  vbp::Covariance<float> covariance(columns);
  vbp::ThreadPool pool(bench::threads());
  bench::arithmetic_row(state, pool, operations(columns), [&] { covariance.observe(rows, pool); });
}

#if defined(VBP_BENCH_OPENBLAS)
void openblas(benchmark::State& state, Index columns) {
  const Matrix<float> rows = samples(columns);
  Matrix<float> products = Matrix<float>::Zero(columns, columns);
  vbp::ThreadPool pool(bench::threads());
  openblas_set_num_threads(bench::threads());
  const auto n = static_cast<int>(columns);
  bench::arithmetic_row(state, pool, operations(columns), [&] {
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, n, static_cast<int>(kRows), 1.0F, rows.data(), n, 1.0F,
                products.data(), n);
  });
}
#endif

}  // namespace

int main(int argc, char** argv) {
  vbp::kernels::select_architecture_by_environment();
  return bench::run_benchmarks(argc, argv, [] {
    for (const bench::Deit& model : bench::kDeit) {
      const Index columns = 4 * model.dim;
      const auto add = [&](const char* name, void (*row)(benchmark::State&, Index)) {
        bench::add_row(std::string(model.name) + "/" + name,
                       [row, columns](benchmark::State& state) { row(state, columns); });
      };
      add("vbp", ours);
#if defined(VBP_BENCH_OPENBLAS)
      add("openblas", openblas);
#endif
    }
  });
}
