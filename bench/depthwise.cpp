/// The depthwise 7x7 convolutions of ConvNeXt-T's four stages for one image of 224 x 224, and their gradients
/// with respect to the weights. The gradients with respect to the input are not measured, because they are
/// the same convolution.

#include "vbp/kernels/depthwise.hpp"

#include <string>

#include "common.hpp"
#include "vbp/kernels/depthwise_backward.hpp"

int main(int argc, char** argv) {
  vbp::kernels::select_architecture_by_environment();
  return bench::run_benchmarks(argc, argv, [] {
    struct Stage {
      const char* name;
      bench::Index size, channels;
    };
    for (const Stage& stage :
         {Stage{"stage 1, 56 x 56 x 96", 56, 96}, Stage{"stage 2, 28 x 28 x 192", 28, 192},
          Stage{"stage 3, 14 x 14 x 384", 14, 384}, Stage{"stage 4, 7 x 7 x 768", 7, 768}}) {
      bench::add_row(stage.name, [size = stage.size, channels = stage.channels](benchmark::State& state) {
        const bench::Index elements = size * size * channels;
        const vbp::AlignedBuffer<float> x = bench::random_values(elements, 1);
        const vbp::AlignedBuffer<float> weight = bench::random_values(50 * channels, 2);
        vbp::AlignedBuffer<float> out(elements);
        vbp::kernels::Workspace<float> workspace(bench::threads());
        // The kernel skips products with the zero padding, so they are not counted.
        const auto side = static_cast<double>(7 * size - 12);
        bench::arithmetic_row(
            state, workspace.pool(), 2.0 * side * side * static_cast<double>(channels), [&] {
              vbp::kernels::depthwise_7x7(x.data(), channels, 1, size, size, channels, weight.data(),
                                          weight.data() + 49 * channels, out.data(), channels, workspace);
            });
      });
      bench::add_row(std::string(stage.name) + ", weights",
                     [size = stage.size, channels = stage.channels](benchmark::State& state) {
                       const bench::Index elements = size * size * channels;
                       const vbp::AlignedBuffer<float> x = bench::random_values(elements, 1);
                       const vbp::AlignedBuffer<float> gradient = bench::random_values(elements, 2);
                       vbp::AlignedBuffer<float> out(50 * channels);
                       vbp::AlignedBuffer<float> partial(
                           vbp::kernels::depthwise_7x7_weight_gradient_elements(1, size, size, channels));
                       vbp::kernels::Workspace<float> workspace(bench::threads());
                       const auto side = static_cast<double>(7 * size - 12);
                       bench::arithmetic_row(
                           state, workspace.pool(), 2.0 * side * side * static_cast<double>(channels), [&] {
                             vbp::kernels::depthwise_7x7_weight_gradient(
                                 x.data(), gradient.data(), 1, size, size, channels, out.data(),
                                 out.data() + 49 * channels, partial.data(), workspace);
                           });
                     });
    }
  });
}
