/// GELU of the hidden activations of one image: each value is read and written once.

#include "vbp/kernels/activation.hpp"

#include "common.hpp"

int main(int argc, char** argv) {
  vbp::kernels::select_architecture_by_environment();
  return bench::run_benchmarks(argc, argv, [] {
    for (const bench::Deit& model : bench::kDeit) {
      const auto add = [&](const char* name, auto gelu) {
        bench::add_row(std::string(model.name) + "/" + name,
                       [dim = model.dim, gelu](benchmark::State& state) {
                         const vbp::Index size = bench::kTokens * 4 * dim;
                         const vbp::AlignedBuffer<float> x = bench::random_values(size, 1);
                         vbp::AlignedBuffer<float> out(size);
                         bench::memory_row(state, 2.0 * sizeof(float) * static_cast<double>(size),
                                           [&] { gelu(x.data(), size, out.data()); });
                       });
      };
      add("gelu", &vbp::kernels::gelu<float>);
      add("gelu_tanh", &vbp::kernels::gelu_tanh<float>);
    }
  });
}
