#pragma once
/// DeiT with random weights, dense and pruned.

#include <array>
#include <string>
#include <vector>

#include "common.hpp"

namespace bench {

/// The hidden widths that plain VBP left a real ViT-S of 12 x 1536 with (fine-tuned DINOv2, one global
/// ranking): what a global ranking really gives, multiples of nothing.
struct Profile {
  int percent;
  std::array<Index, 12> widths;
};
inline constexpr Profile kProfiles[] = {
    {20, {1117, 1461, 1325, 1335, 1431, 1417, 1320, 1219, 983, 1190, 1093, 855}},
    {35, {748, 1385, 1165, 1152, 1289, 1217, 1055, 938, 692, 895, 789, 656}},
    {55, {485, 1231, 870, 734, 907, 800, 705, 600, 428, 594, 499, 442}},
};

/// The widths of DeiT of this dimension: dense, `percent` removed from each block alike, or as in the
/// profile.
inline std::vector<Index> dense_widths(Index dim) {
  return std::vector<Index>(12, 4 * dim);
}
inline std::vector<Index> uniform_widths(Index dim, int percent) {
  return std::vector<Index>(12, 4 * dim - 4 * dim * percent / 100);
}
inline std::vector<Index> profile_widths(Index dim, const Profile& profile) {
  std::vector<Index> widths;
  for (const Index width : profile.widths) widths.push_back(width * 4 * dim / 1536);
  return widths;
}

inline vbp::VisionTransformer<float> random_deit(Index dim, std::vector<Index> widths) {
  vbp::VitConfig config;
  config.dim = dim;
  config.heads = dim / 64;
  config.hidden_widths = std::move(widths);
  config.classes = 1000;
  auto model = vbp::make_vit<float>(config);
  vbp::Random random(1);
  vbp::for_each_parameter(model, [&](const std::string&, auto& parameter, Index, Index) {
    for (Index i = 0; i < parameter.size(); ++i) {
      parameter.data()[i] = static_cast<float>(0.04 * (random.uniform() - 0.5));
    }
  });
  return model;
}

}  // namespace bench
