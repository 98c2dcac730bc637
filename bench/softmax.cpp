/// Softmax of the scores of one head. Each score is read and written once.

#include "vbp/kernels/softmax.hpp"

#include "common.hpp"

int main(int argc, char** argv) {
  vbp::kernels::select_architecture_by_environment();
  return bench::run_benchmarks(argc, argv, [] {
    for (const vbp::Index columns : {37, 197, 577}) {
      bench::add_row(std::to_string(columns), [columns](benchmark::State& state) {
        vbp::AlignedBuffer<float> values = bench::random_values(columns * columns, 1);
        bench::memory_row(state, 2.0 * sizeof(float) * static_cast<double>(columns * columns),
                          [&] { vbp::kernels::softmax(values.data(), columns, columns, columns, 0.125F); });
      });
    }
  });
}
