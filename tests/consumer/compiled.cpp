// A user's program that links vbp::compiled: objects of vbp and of Eigen go into the library and come out of
// it.

#include <array>
#include <string>

#include <vbp/vbp.hpp>

int main() {
  std::array blocks{vbp::Mlp<float>(vbp::Matrix<float>::Random(64, 8), vbp::Vector<float>::Zero(64),
                                    vbp::Matrix<float>::Random(8, 64), vbp::Vector<float>::Zero(8))};
  const vbp::Matrix<float> input = vbp::Matrix<float>::Random(100, 8);
  std::array statistics{vbp::Statistics<double>(64)};
  statistics[0].observe(blocks[0].hidden_activation(input));
  const vbp::PruningPlan plan = vbp::prune(blocks, statistics, {.rate = 0.5});
  if (plan.removed() != 32 || !blocks[0](input).allFinite()) return 1;

  try {
    vbp::load_model("missing.safetensors");
  } catch (const vbp::FileError& error) {
    return error.path() == "missing.safetensors" ? 0 : 2;
  }
  return 3;
}
