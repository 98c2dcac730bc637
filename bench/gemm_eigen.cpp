/// The same products by Eigen, as its user has it: compiled for this machine's CPU, one thread. A program of
/// its own, since Eigen's functions may not be compiled for two architectures in one.

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
