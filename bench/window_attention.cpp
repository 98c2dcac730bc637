/// Attention within the windows of Swin-T's four stages, shifted or not, for one image of 224 x 224.
/// Operations are counted for the two matrix products only. For comparison, another row measures plain
/// attention for as many images of 49 tokens as there are windows. It gathers no windows and adds no bias.

#include "vbp/kernels/window_attention.hpp"

#include <memory>
#include <string>

#include "common.hpp"
#include "vbp/kernels/attention.hpp"

int main(int argc, char** argv) {
  vbp::kernels::select_architecture_by_environment();
  return bench::run_benchmarks(argc, argv, [] {
    using bench::Index;
    constexpr Index kWindow = 7, kHeadDim = 32;
    for (const Index side : {56, 28, 14, 7}) {
      const Index heads = 3 * 56 / side;
      const Index dim = heads * kHeadDim;
      const Index pixels = side * side;
      const std::string name =
          std::to_string(side) + " x " + std::to_string(side) + " x " + std::to_string(dim);
      const auto add = [&](const std::string& kind, auto attend) {
        bench::add_row(name + ", " + kind, [=](benchmark::State& state) {
          const vbp::AlignedBuffer<float> qkv = bench::random_values(pixels * 3 * dim, 1);
          vbp::AlignedBuffer<float> out(pixels * dim);
          vbp::kernels::Workspace<float> workspace(bench::threads());
          bench::arithmetic_row(state, workspace.pool(),
                                4.0 * static_cast<double>(pixels * kWindow * kWindow * dim),
                                [&] { attend(qkv.data(), out.data(), workspace); });
        });
      };
      for (const Index shift : {Index{0}, kWindow / 2}) {
        if (shift > 0 && side == kWindow) continue;
        const auto windows = std::make_shared<vbp::kernels::PackedWindows<float>>(
            vbp::kernels::WindowLayout{.side = side, .window = kWindow, .shift = shift},
            vbp::Matrix<float>::Random(13 * 13, heads), kHeadDim);
        add(shift > 0 ? "shifted windows" : "windows", [=](const float* qkv, float* out, auto& workspace) {
          vbp::kernels::window_attention(qkv, 1, *windows, qkv, out, dim, workspace);
        });
      }
      add("images", [=](const float* qkv, float* out, auto& workspace) {
        vbp::kernels::attention(qkv, pixels / (kWindow * kWindow), kWindow * kWindow, heads, kHeadDim, out,
                                workspace);
      });
    }
  });
}
