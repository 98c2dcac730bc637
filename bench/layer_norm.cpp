/// Layer norm of the tokens of one image: each value is read and written once.

#include "vbp/kernels/layer_norm.hpp"

#include "common.hpp"

int main(int argc, char** argv) {
  vbp::kernels::select_architecture_by_environment();
  return bench::run_benchmarks(argc, argv, [] {
    for (const bench::Deit& model : bench::kDeit) {
      bench::add_row(model.name, [dim = model.dim](benchmark::State& state) {
        const vbp::AlignedBuffer<float> x = bench::random_values(bench::kTokens * dim, 1);
        const vbp::AlignedBuffer<float> weight = bench::random_values(2 * dim, 2);
        vbp::AlignedBuffer<float> out(bench::kTokens * dim);
        vbp::kernels::Workspace<float> workspace(1);
        bench::memory_row(state, 2.0 * sizeof(float) * static_cast<double>(bench::kTokens * dim), [&] {
          vbp::kernels::layer_norm(x.data(), dim, bench::kTokens, dim, weight.data(), weight.data() + dim,
                                   1e-6F, out.data(), dim, workspace);
        });
      });
    }
  });
}
