/// Attention of one image. Operations are counted for the two matrix products only.

#include "vbp/kernels/attention.hpp"

#include "common.hpp"

int main(int argc, char** argv) {
  vbp::kernels::select_architecture_by_environment();
  return bench::run_benchmarks(argc, argv, [] {
    for (const bench::Deit& model : bench::kDeit) {
      bench::add_row(model.name, [dim = model.dim](benchmark::State& state) {
        const vbp::AlignedBuffer<float> qkv = bench::random_values(bench::kTokens * 3 * dim, 1);
        vbp::AlignedBuffer<float> out(bench::kTokens * dim);
        vbp::kernels::Workspace<float> workspace(bench::threads());
        bench::arithmetic_row(
            state, workspace.pool(), 4.0 * static_cast<double>(bench::kTokens * bench::kTokens * dim), [&] {
              vbp::kernels::attention(qkv.data(), 1, bench::kTokens, dim / 64, 64, out.data(), workspace);
            });
      });
    }
  });
}
