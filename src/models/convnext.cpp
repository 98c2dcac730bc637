/// ConvNext for float: forward, steps on the residual stream, and training.

#include "vbp/models/convnext/backward.hpp"
#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/convnext/steps.hpp"
#include "vbp/train/mean_gradient.hpp"
#include "vbp/train/trainer.hpp"

namespace vbp::inline VBP_ABI {

template class ConvNextInference<float>;
template class ConvNextSteps<float>;
template class Backpropagation<ConvNext<float>>;
template class Trainer<ConvNext<float>>;
template class MeanGradient<ConvNext<float>>;

}  // namespace vbp::inline VBP_ABI
