#pragma once
/// A model of any family made ready to run.

#include <utility>
#include <variant>

#include "model.hpp"
#include "vbp/convnext/inference.hpp"
#include "vbp/vit/inference.hpp"

namespace tool {

/// What calls a forward pass of a model of any family; see vbp::Inference.
class Runner {
 public:
  Runner(const Model& model, int threads) {
    std::visit([&](const auto& of) { emplace(of, threads); }, model);
  }
  Runner(const vbp::VisionTransformer<float>& model, int threads) { emplace(model, threads); }

  /// call(inference) with the family's own.
  template <class Call>
  decltype(auto) visit(Call&& call) {
    if (auto* const vit = std::get_if<vbp::Inference<float>>(&inference_)) return call(*vit);
    return call(std::get<vbp::ConvNextInference<float>>(inference_));
  }

  vbp::Matrix<float> operator()(const vbp::MatrixView<float>& images) {
    return visit([&](auto& inference) { return inference(images); });
  }
  vbp::ThreadPool& pool() {
    return visit([](auto& inference) -> vbp::ThreadPool& { return inference.pool(); });
  }

 private:
  void emplace(const vbp::VisionTransformer<float>& model, int threads) {
    inference_.emplace<vbp::Inference<float>>(model, vbp::InferenceOptions{.threads = threads});
  }
  void emplace(const vbp::ConvNext<float>& model, int threads) {
    inference_.emplace<vbp::ConvNextInference<float>>(model, vbp::InferenceOptions{.threads = threads});
  }

  std::variant<std::monostate, vbp::Inference<float>, vbp::ConvNextInference<float>> inference_;
};

}  // namespace tool
