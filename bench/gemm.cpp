/// The matrix products of DeiT's layers with 197 tokens per image. Our rows are measured with the layers'
/// epilogues and without them. If OpenBLAS and oneDNN are installed, they have rows, too; gemm_eigen.cpp
/// measures Eigen. The result is the best of many runs, each between two runs of the multiply-add loop.
/// OpenBLAS and oneDNN choose the instruction set themselves. Set OPENBLAS_CORETYPE and DNNL_MAX_CPU_ISA if a
/// library is too old to know the CPU, or if it should use the same instruction set as VBP_ARCH.

#include "vbp/kernels/gemm.hpp"

#include "layers.hpp"

#if defined(VBP_BENCH_OPENBLAS)
#include <cblas.h>
extern "C" void openblas_set_num_threads(int);
#endif
#if defined(VBP_BENCH_DNNL)
#include <dnnl.h>
#include <omp.h>
#endif

namespace {

using bench::for_each_layer;
using bench::Layer;
using bench::theirs;
using vbp::Index;
using vbp::kernels::EpilogueKind;

void ours(benchmark::State& state, const Layer& layer, EpilogueKind kind) {
  // As in the forward pass, the row stride of A is an odd number of cache lines.
  const Index a_stride = layer.in + 16;
  const vbp::AlignedBuffer<float> a = bench::random_values(bench::rows() * a_stride, 1);
  const vbp::AlignedBuffer<float> w = bench::random_values(layer.out * layer.in, 2);
  const vbp::AlignedBuffer<float> rows = bench::random_values(3 * layer.out, 3);
  vbp::AlignedBuffer<float> c = bench::random_values(bench::rows() * layer.out, 4);
  const vbp::kernels::PackedWeight<float> packed(
      Eigen::Map<const vbp::Matrix<float>>(w.data(), layer.out, layer.in));
  vbp::kernels::Epilogue<float> epilogue = {.kind = kind, .bias = rows.data()};
  if (kind == EpilogueKind::scaled_residual) {
    epilogue.residual = c.data();
    epilogue.residual_stride = layer.out;
    epilogue.scale = rows.data() + layer.out;
  }
  vbp::kernels::Workspace<float> workspace(bench::threads());
  bench::arithmetic_row(state, workspace.pool(),
                        2.0 * static_cast<double>(bench::rows() * layer.in * layer.out), [&] {
                          vbp::kernels::gemm(a.data(), a_stride, bench::rows(), packed, epilogue, c.data(),
                                             layer.out, workspace);
                        });
}

void add_layer(const char* model, const Layer& layer) {
  const std::string name = std::string(model) + "/" + layer.name + "/";
  bench::add_row(name + "vbp", [layer](benchmark::State& state) { ours(state, layer, EpilogueKind::bias); });
  if (layer.kind != EpilogueKind::bias) {
    bench::add_row(name + "vbp_with_epilogue",
                   [layer](benchmark::State& state) { ours(state, layer, layer.kind); });
  }
#if defined(VBP_BENCH_OPENBLAS)
  bench::add_row(name + "openblas", [layer](benchmark::State& state) {
    openblas_set_num_threads(bench::threads());
    theirs(state, layer, [&](const float* a, const float* w, float* c) {
      const auto in = static_cast<int>(layer.in);
      const auto out = static_cast<int>(layer.out);
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(bench::rows()), out, in, 1.0F, a,
                  in, w, in, 0.0F, c, out);
    });
  });
#endif
#if defined(VBP_BENCH_DNNL)
  bench::add_row(name + "onednn", [layer](benchmark::State& state) {
    omp_set_num_threads(bench::threads());
    theirs(state, layer, [&](const float* a, const float* w, float* c) {
      dnnl_sgemm('N', 'T', bench::rows(), layer.out, layer.in, 1.0F, a, layer.in, w, layer.in, 0.0F, c,
                 layer.out);
    });
  });
#endif
}

}  // namespace

int main(int argc, char** argv) {
  vbp::kernels::select_architecture_by_environment();
  return bench::run_benchmarks(argc, argv, [] { for_each_layer(add_layer); });
}
