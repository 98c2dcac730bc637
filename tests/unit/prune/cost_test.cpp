#include "vbp/prune/budget/cost.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

using vbp::Cost;
using vbp::Index;

/// A DeiT of 224 x 224 pixels in patches of 16, with these hidden widths.
Cost deit(Index dim, const std::vector<Index>& hidden) {
  const Index patches = 14 * 14, tokens = patches + 1;
  Cost cost;
  cost.layers.push_back(vbp::patch_embedding_cost("patch_embed", patches, 3, 16, dim));
  cost.layers.push_back(vbp::parameter_cost("cls_token", dim));
  cost.layers.push_back(vbp::parameter_cost("pos_embed", tokens * dim));
  for (std::size_t b = 0; b < hidden.size(); ++b) {
    const std::string name = "blocks." + std::to_string(b);
    cost.layers.push_back(vbp::layer_norm_cost(name + ".norm1", tokens, dim));
    cost.layers.push_back(vbp::linear_cost(name + ".attn.qkv", tokens, dim, 3 * dim));
    cost.layers.push_back(vbp::attention_cost(name + ".attn", tokens, dim));
    cost.layers.push_back(vbp::linear_cost(name + ".attn.proj", tokens, dim, dim));
    cost.layers.push_back(vbp::layer_norm_cost(name + ".norm2", tokens, dim));
    cost.layers.push_back(vbp::linear_cost(name + ".mlp.fc1", tokens, dim, hidden[b]));
    cost.layers.push_back(vbp::linear_cost(name + ".mlp.fc2", tokens, hidden[b], dim));
  }
  cost.layers.push_back(vbp::layer_norm_cost("norm", tokens, dim));
  cost.layers.push_back(vbp::linear_cost("head", 1, dim, 1000));
  return cost;
}

Cost deit(Index dim) {
  return deit(dim, std::vector<Index>(12, 4 * dim));
}

/// Twelve widths that sum to twelve times 4 dim less `removed`.
std::vector<Index> pruned_widths(Index dim, Index removed) {
  std::vector<Index> widths(12, 4 * dim);
  for (Index i = 0; i < removed; ++i) --widths[static_cast<std::size_t>(i % 7)];
  return widths;
}

}  // namespace

TEST_CASE("DeiT costs what its authors published", "[cost]") {
  CHECK(deit(192).parameters() == 5'717'416);
  CHECK(deit(384).parameters() == 22'050'664);
  CHECK(deit(768).parameters() == 86'567'656);
  CHECK(deit(192).macs() == 1'253'683'200);
  CHECK(deit(384).macs() == 4'598'882'304);
  CHECK(deit(768).macs() == 17'563'828'224);
  CHECK(static_cast<double>(deit(192).macs_fvcore()) / 1e9 == Approx(1.26).margin(0.005));
  CHECK(static_cast<double>(deit(384).macs_fvcore()) / 1e9 == Approx(4.61).margin(0.005));
  CHECK(static_cast<double>(deit(768).macs_fvcore()) / 1e9 == Approx(17.58).margin(0.005));
}

TEST_CASE("pruned DeiT costs what the paper published", "[cost]") {
  const Cost base = deit(768, pruned_widths(768, 20275));  // floor(0.55 * 36864)
  CHECK(static_cast<double>(base.parameters()) / 1e6 == Approx(55.40).margin(0.005));
  CHECK(static_cast<double>(base.macs_fvcore()) / 1e9 == Approx(11.44).margin(0.01));
  CHECK(static_cast<double>(deit(192, pruned_widths(192, 4147)).parameters()) / 1e6 ==
        Approx(4.12).margin(0.005));
  CHECK(static_cast<double>(deit(192, pruned_widths(192, 4608)).macs_fvcore()) / 1e9 ==
        Approx(0.91).margin(0.005));
}

TEST_CASE("a removed neuron takes its row, its bias and its column", "[cost]") {
  const Index removed = 1234;
  CHECK(deit(384).parameters() - deit(384, pruned_widths(384, removed)).parameters() ==
        removed * (384 + 1 + 384));
  CHECK(deit(384).macs() - deit(384, pruned_widths(384, removed)).macs() == removed * 197 * (384 + 384));
}

TEST_CASE("layers are named and counted one by one", "[cost]") {
  const vbp::LayerCost linear = vbp::linear_cost("fc", 10, 3, 4);
  CHECK(linear.name == "fc");
  CHECK(linear.kind == "linear");
  CHECK(linear.parameters == 16);
  CHECK(linear.macs == 120);
  CHECK(linear.norm_elements == 0);
  CHECK(vbp::linear_cost("fc", 10, 3, 4, false).parameters == 12);
  CHECK(vbp::patch_embedding_cost("p", 4, 3, 2, 5).parameters == 65);
  CHECK(vbp::patch_embedding_cost("p", 4, 3, 2, 5).macs == 240);
  CHECK(vbp::layer_norm_cost("n", 10, 8).parameters == 16);
  CHECK(vbp::layer_norm_cost("n", 10, 8).norm_elements == 80);
  CHECK(vbp::layer_norm_cost("n", 10, 8).macs == 0);
  CHECK(vbp::attention_cost("a", 10, 8).macs == 1600);
  CHECK(Cost{}.macs() == 0);
  CHECK(Cost{{linear, vbp::layer_norm_cost("n", 10, 8), vbp::layer_norm_cost("m", 1, 8)}}.macs_fvcore() ==
        560);
}
