/// The compiled checkpoints of all families, and the costs that are no templates.

#include "vbp/models/checkpoint-inl.hpp"
#include "vbp/models/checkpoint_reader-inl.hpp"
#include "vbp/models/config_file-inl.hpp"
#include "vbp/models/convnext/checkpoint-inl.hpp"
#include "vbp/models/settings-inl.hpp"
#include "vbp/models/settings_files-inl.hpp"
#include "vbp/models/stage_reader-inl.hpp"
#include "vbp/models/swin/checkpoint-inl.hpp"
#include "vbp/models/tensor_names-inl.hpp"
#include "vbp/models/vit/checkpoint-inl.hpp"
#include "vbp/models/vit/cost-inl.hpp"

namespace vbp::inline VBP_ABI {

template std::vector<Index> checkpoint_detail::tensor_shape<VisionTransformer<float>>(
    const VisionTransformer<float>::Config&, const std::string&, Index, Index, bool);
template bool is_checkpoint_of<VisionTransformer<float>>(const std::vector<std::string>&);
template Checkpoint<VisionTransformer<float>> load_checkpoint<VisionTransformer<float>>(
    const std::filesystem::path&, const SettingTexts&);
template Checkpoint<VisionTransformer<float>> load_config<VisionTransformer<float>>(
    const std::filesystem::path&, const SettingTexts&);
template void save_checkpoint(io::AtomicFile&, const Checkpoint<VisionTransformer<float>>&);
template void save_checkpoint(const std::filesystem::path&, const Checkpoint<VisionTransformer<float>>&);
template io::Hash128 fingerprint(const VisionTransformer<float>&);
template io::Metadata checkpoint_detail::complete_metadata(const Checkpoint<VisionTransformer<float>>&);

template std::vector<Index> checkpoint_detail::tensor_shape<ConvNext<float>>(const ConvNext<float>::Config&,
                                                                             const std::string&, Index, Index,
                                                                             bool);
template bool is_checkpoint_of<ConvNext<float>>(const std::vector<std::string>&);
template Checkpoint<ConvNext<float>> load_checkpoint<ConvNext<float>>(const std::filesystem::path&,
                                                                      const SettingTexts&);
template Checkpoint<ConvNext<float>> load_config<ConvNext<float>>(const std::filesystem::path&,
                                                                  const SettingTexts&);
template void save_checkpoint(io::AtomicFile&, const Checkpoint<ConvNext<float>>&);
template void save_checkpoint(const std::filesystem::path&, const Checkpoint<ConvNext<float>>&);
template io::Hash128 fingerprint(const ConvNext<float>&);
template io::Metadata checkpoint_detail::complete_metadata(const Checkpoint<ConvNext<float>>&);

template std::vector<Index> checkpoint_detail::tensor_shape<SwinTransformer<float>>(
    const SwinTransformer<float>::Config&, const std::string&, Index, Index, bool);
template bool is_checkpoint_of<SwinTransformer<float>>(const std::vector<std::string>&);
template Checkpoint<SwinTransformer<float>> load_checkpoint<SwinTransformer<float>>(
    const std::filesystem::path&, const SettingTexts&);
template Checkpoint<SwinTransformer<float>> load_config<SwinTransformer<float>>(const std::filesystem::path&,
                                                                                const SettingTexts&);
template void save_checkpoint(io::AtomicFile&, const Checkpoint<SwinTransformer<float>>&);
template void save_checkpoint(const std::filesystem::path&, const Checkpoint<SwinTransformer<float>>&);
template io::Hash128 fingerprint(const SwinTransformer<float>&);
template io::Metadata checkpoint_detail::complete_metadata(const Checkpoint<SwinTransformer<float>>&);

}  // namespace vbp::inline VBP_ABI
