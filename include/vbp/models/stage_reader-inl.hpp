#pragma once
/// Reading a checkpoint of a network of stages.

#include <filesystem>
#include <string>

#include "vbp/core/types.hpp"
#include "vbp/models/checkpoint_reader-inl.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/stage_model.hpp"

namespace vbp::inline VBP_ABI::checkpoint_detail {

/// What CheckpointReader asks for. `Reader` is derived from it and has kBlockAnchor, the ending of a tensor
/// that every block has; read_block(stage, block, name), what the tensors of a block say beside its width;
/// and resolve_family(), the settings that no other family of stages has.
template <class Reader, class M>
class StageReader : public CheckpointReader<Reader, M> {
  using Base = CheckpointReader<Reader, M>;

 public:
  using Base::Base;

  void read_shapes() {
    this->read_ends(Base::Format::kEmbedding);
    // No more stages and blocks than there are tensors, so that the loops end.
    for (Index stage = 0; has_block(stage, 0); ++stage) {
      Index depth = 0;
      for (; has_block(stage, depth); ++depth) {
        const std::string block = block_name(config_, stage, depth);
        const auto fc1 = this->linear_shape(block + ".mlp.fc1.weight");
        if (depth == 0) config_.dims.push_back(fc1[1]);
        config_.hidden_widths.push_back(fc1[0]);
        reader().read_block(depth, block);
      }
      config_.depths.push_back(depth);
    }
    if (config_.dims.empty()) {
      this->fail("the tensor " + block_name(config_, 0, 0) + Reader::kBlockAnchor +
                 " is missing: there are no blocks");
    }
  }

  void resolve_network() {
    this->check_ends(Base::Format::kEmbedding);
    this->check_list("dims", config_.dims);
    this->check_list("depths", config_.depths);
    this->check_widths();
    this->resolve_architecture();
    this->resolve_activation();
    this->origins_["global_pool"] = this->library();
    require_average_pooling(this->find("global_pool"));
    reader().resolve_family();
    resolve_image_size();
  }

 protected:
  using Base::config_;

 private:
  Reader& reader() noexcept { return static_cast<Reader&>(*this); }

  bool has_block(Index stage, Index block) const {
    return this->names_.has(block_name(config_, stage, block) + Reader::kBlockAnchor);
  }

  /// No tensor says at which size such a network is to run.
  void resolve_image_size() {
    const auto setting = this->find("image_size");
    if (!setting) {
      this->fail(
          "nothing says image_size; give it with --set image_size=... or by a config.json beside the file");
    }
    config_.image_size = setting->whole_number();
    // A slip of a digit must not allocate gigabytes.
    constexpr Index kMostPatchesOnASide = 1024;
    if (config_.image_size / config_.patch_size > kMostPatchesOnASide) {
      setting->refuse(quote(setting->value) + " makes more than " + std::to_string(kMostPatchesOnASide) +
                      " patches on a side");
    }
  }
};

}  // namespace vbp::inline VBP_ABI::checkpoint_detail
