#pragma once
/// DeiT with random weights, dense and pruned.

#include <array>
#include <string>
#include <vector>

#include "common.hpp"
#include "vbp/models/vit/model.hpp"

namespace bench {

/// The hidden widths that remained after plain VBP with one global ranking had pruned a real ViT-S with 12 x
/// 1536 neurons (fine-tuned DINOv2). They show what a global ranking gives in practice: widths that are not
/// multiples of the vector width.
struct Profile {
  int percent;
  std::array<Index, 12> widths;
};
inline constexpr Profile kProfiles[] = {
    {20, {1117, 1461, 1325, 1335, 1431, 1417, 1320, 1219, 983, 1190, 1093, 855}},
    {35, {748, 1385, 1165, 1152, 1289, 1217, 1055, 938, 692, 895, 789, 656}},
    {55, {485, 1231, 870, 734, 907, 800, 705, 600, 428, 594, 499, 442}},
};

/// Hidden widths of a DeiT of dimension `dim`: dense, with `percent` of each block removed, or in the
/// proportions of a profile.
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
  auto model = vbp::make_model<vbp::VisionTransformer<float>>(config);
  vbp::Random random(1);
  vbp::for_each_parameter(model, [&](const std::string&, auto& parameter, Index, Index) {
    for (Index i = 0; i < parameter.size(); ++i) {
      parameter.data()[i] = static_cast<float>(0.04 * (random.uniform() - 0.5));
    }
  });
  return model;
}

}  // namespace bench
