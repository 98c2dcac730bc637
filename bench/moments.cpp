/// The sums from which the mean and variance of the hidden activations of one image are computed. Each value
/// is read once.

#include "vbp/kernels/moments.hpp"

#include "common.hpp"

int main(int argc, char** argv) {
  vbp::kernels::select_architecture_by_environment();
  return bench::run_benchmarks(argc, argv, [] {
    for (const bench::Deit& model : bench::kDeit) {
      bench::add_row(model.name, [columns = 4 * model.dim](benchmark::State& state) {
        const vbp::AlignedBuffer<float> samples = bench::random_values(bench::kTokens * columns, 1);
        vbp::AlignedBuffer<double> sums(3 * columns);
        std::fill_n(sums.data(), 3 * columns, 0.0);
        bench::memory_row(state, sizeof(float) * static_cast<double>(bench::kTokens * columns), [&] {
          vbp::kernels::add_shifted_moments(samples.data(), bench::kTokens, columns, columns, sums.data(),
                                            sums.data() + columns, sums.data() + 2 * columns);
        });
      });
    }
  });
}
