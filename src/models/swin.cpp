/// SwinTransformer for float: forward, steps on the residual stream, and training.

#include "vbp/models/swin/backward.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/swin/steps.hpp"
#include "vbp/train/mean_gradient.hpp"
#include "vbp/train/trainer.hpp"

namespace vbp::inline VBP_ABI {

template class SwinInference<float>;
template class SwinSteps<float>;
template class Backpropagation<SwinTransformer<float>>;
template class Trainer<SwinTransformer<float>>;
template class MeanGradient<SwinTransformer<float>>;

}  // namespace vbp::inline VBP_ABI
