/// The products of gemm.cpp, computed by Eigen as its users compile it: for this machine's CPU, on one
/// thread. This is a separate program, because one program must not compile Eigen's functions for two
/// instruction sets.

#include "layers.hpp"

int main(int argc, char** argv) {
  return bench::run_benchmarks(argc, argv, [] {
    bench::for_each_layer([](const char* model, const bench::Layer& layer) {
      bench::add_row(std::string(model) + "/" + layer.name + "/eigen", [layer](benchmark::State& state) {
        bench::theirs(state, layer, [&](const float* a, const float* w, float* c) {
          using Map = Eigen::Map<const vbp::Matrix<float>>;
          Eigen::Map<vbp::Matrix<float>>(c, bench::rows(), layer.out).noalias() =
              Map(a, bench::rows(), layer.in) * Map(w, layer.out, layer.in).transpose();
        });
      });
    });
  });
}
