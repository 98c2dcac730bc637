#pragma once
/// Reads, runs, observes, prunes and writes Vision Transformers, Swin Transformers and ConvNeXts.
///
///     #include <vbp/models.hpp>
///
///     auto checkpoint = vbp::load_checkpoint<vbp::VisionTransformer<float>>("vit.safetensors");
///     vbp::VitInference<float> inference(checkpoint.model);
///     vbp::Matrix<float> logits = inference(images);  // [n, channels * size * size], normalised
///
///     auto statistics = vbp::hidden_statistics(checkpoint.model.config);
///     vbp::observe_hidden<float>(inference, images, statistics);
///     vbp::prune(checkpoint.model.blocks, statistics, {.rate = 0.5});
///     vbp::save_checkpoint("pruned.safetensors", checkpoint);

#include "vbp/models/checkpoint.hpp"
#include "vbp/models/config_checks.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/convnext/config.hpp"
#include "vbp/models/convnext/cost.hpp"
#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/convnext/steps.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/models/layer_seconds.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/model_inference.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/parameters.hpp"
#include "vbp/models/residual_steps.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/settings_files.hpp"
#include "vbp/models/stage_cost.hpp"
#include "vbp/models/stage_inference.hpp"
#include "vbp/models/stage_model.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/models/swin/config.hpp"
#include "vbp/models/swin/cost.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/swin/model.hpp"
#include "vbp/models/swin/steps.hpp"
#include "vbp/models/tensor_names.hpp"
#include "vbp/models/transformer_block.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/config.hpp"
#include "vbp/models/vit/cost.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/models/vit/model.hpp"
#include "vbp/models/vit/positions.hpp"
#include "vbp/models/vit/steps.hpp"
#include "vbp/prune.hpp"
