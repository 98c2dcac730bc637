/// Explicit instantiations of the public functions and classes of kernels/, for float and double.

#include "src/kernels/entries.hpp"
#include "vbp/kernels/activation-inl.hpp"
#include "vbp/kernels/activation_backward-inl.hpp"
#include "vbp/kernels/adamw-inl.hpp"
#include "vbp/kernels/attention-inl.hpp"
#include "vbp/kernels/attention_backward-inl.hpp"
#include "vbp/kernels/depthwise-inl.hpp"
#include "vbp/kernels/depthwise_backward-inl.hpp"
#include "vbp/kernels/gemm-inl.hpp"
#include "vbp/kernels/layer_norm-inl.hpp"
#include "vbp/kernels/layer_norm_backward-inl.hpp"
#include "vbp/kernels/moments-inl.hpp"
#include "vbp/kernels/norm-inl.hpp"
#include "vbp/kernels/peak-inl.hpp"
#include "vbp/kernels/softmax-inl.hpp"
#include "vbp/kernels/syrk-inl.hpp"
#include "vbp/kernels/weight_gradient-inl.hpp"
#include "vbp/kernels/window_attention-inl.hpp"
#include "vbp/kernels/window_attention_backward-inl.hpp"

namespace vbp::inline VBP_ABI::kernels {

template decltype(gelu<float>) gelu<float>;
template decltype(gelu<double>) gelu<double>;
template decltype(gelu_tanh<float>) gelu_tanh<float>;
template decltype(gelu_tanh<double>) gelu_tanh<double>;
template decltype(gelu_backward<float>) gelu_backward<float>;
template decltype(gelu_backward<double>) gelu_backward<double>;
template decltype(gelu_tanh_backward<float>) gelu_tanh_backward<float>;
template decltype(gelu_tanh_backward<double>) gelu_tanh_backward<double>;
template decltype(adamw_update<float>) adamw_update<float>;
template decltype(adamw_update<double>) adamw_update<double>;
template void attention<float>(const float*, Index, Index, Index, Index, float*, Index, Workspace<float>&);
template void attention<float>(const float*, Index, Index, Index, Index, float*, Workspace<float>&);
template void attention<double>(const double*, Index, Index, Index, Index, double*, Index,
                                Workspace<double>&);
template void attention<double>(const double*, Index, Index, Index, Index, double*, Workspace<double>&);
template decltype(attention_backward_scratch_elements<float>) attention_backward_scratch_elements<float>;
template decltype(attention_backward_scratch_elements<double>) attention_backward_scratch_elements<double>;
template decltype(attention_backward<float>) attention_backward<float>;
template decltype(attention_backward<double>) attention_backward<double>;
template decltype(depthwise_7x7<float>) depthwise_7x7<float>;
template decltype(depthwise_7x7<double>) depthwise_7x7<double>;
template decltype(depthwise_7x7_input_gradient<float>) depthwise_7x7_input_gradient<float>;
template decltype(depthwise_7x7_input_gradient<double>) depthwise_7x7_input_gradient<double>;
template decltype(depthwise_7x7_weight_gradient<float>) depthwise_7x7_weight_gradient<float>;
template decltype(depthwise_7x7_weight_gradient<double>) depthwise_7x7_weight_gradient<double>;
template class PackedWeight<float>;
template class PackedWeight<double>;
template decltype(gemm<float>) gemm<float>;
template decltype(gemm<double>) gemm<double>;
template decltype(layer_norm<float>) layer_norm<float>;
template decltype(layer_norm<double>) layer_norm<double>;
template decltype(layer_norm_backward<float>) layer_norm_backward<float>;
template decltype(layer_norm_backward<double>) layer_norm_backward<double>;
template decltype(add_shifted_moments<float, float>) add_shifted_moments<float, float>;
template decltype(add_shifted_moments<float, double>) add_shifted_moments<float, double>;
template decltype(add_shifted_moments<double, float>) add_shifted_moments<double, float>;
template decltype(add_shifted_moments<double, double>) add_shifted_moments<double, double>;
template decltype(square_sum<float>) square_sum<float>;
template decltype(square_sum<double>) square_sum<double>;
template decltype(multiply_add_rate<float>) multiply_add_rate<float>;
template decltype(multiply_add_rate<double>) multiply_add_rate<double>;
template decltype(softmax<float>) softmax<float>;
template decltype(softmax<double>) softmax<double>;
template class PackedDeviations<float>;
template class PackedDeviations<double>;
template PackedDeviations<float>::PackedDeviations(const float*, Index, Index, Index, const float*,
                                                   ThreadPool&);
template PackedDeviations<float>::PackedDeviations(const double*, Index, Index, Index, const float*,
                                                   ThreadPool&);
template PackedDeviations<double>::PackedDeviations(const float*, Index, Index, Index, const double*,
                                                    ThreadPool&);
template PackedDeviations<double>::PackedDeviations(const double*, Index, Index, Index, const double*,
                                                    ThreadPool&);
template class WeightGradient<float>;
template class WeightGradient<double>;
template class PackedWindows<float>;
template class PackedWindows<double>;
template decltype(window_attention<float>) window_attention<float>;
template decltype(window_attention<double>) window_attention<double>;
template decltype(window_attention_backward_elements<float>) window_attention_backward_elements<float>;
template decltype(window_attention_backward_elements<double>) window_attention_backward_elements<double>;
template decltype(window_attention_backward<float>) window_attention_backward<float>;
template decltype(window_attention_backward<double>) window_attention_backward<double>;

}  // namespace vbp::inline VBP_ABI::kernels
