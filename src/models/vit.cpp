/// VisionTransformer for float: forward, steps on the residual stream, and training.

#include "vbp/models/vit/backward.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/models/vit/steps.hpp"
#include "vbp/train/mean_gradient.hpp"
#include "vbp/train/trainer.hpp"

namespace vbp::inline VBP_ABI {

template class VitInference<float>;
template class VitSteps<float>;
template class Backpropagation<VisionTransformer<float>>;
template class Trainer<VisionTransformer<float>>;
template class MeanGradient<VisionTransformer<float>>;

}  // namespace vbp::inline VBP_ABI
