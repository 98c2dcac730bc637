#pragma once

#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/inference.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

template <class Inference>
class AnyInferenceOf final : public AnyInference {
 public:
  template <class M>
  AnyInferenceOf(const M& model, Context context) : inference_(model, std::move(context)) {}

  Matrix<float> operator()(const MatrixView<float>& images) override { return inference_(images); }
  void run(const MatrixView<float>& images, MutableMatrixView<float> outputs) override {
    inference_.run(images, outputs);
  }
  void observe(const MatrixView<float>& images, std::vector<Statistics<double>>& statistics,
               std::span<Covariance<float>> covariances, Index first) override {
    observe_hidden<float>(inference_, images, statistics, covariances, first);
  }
  Matrix<float> embedded(const MatrixView<float>& images) override { return inference_.embedded(images); }
  void record(LayerSeconds* seconds) override { inference_.record(seconds); }
  const Context& context() const override { return inference_.context(); }

 private:
  Inference inference_;
};

}  // namespace detail

VBP_FUNCTION std::unique_ptr<AnyInference> make_inference(const AnyModel& model, Context context) {
  return std::visit(
      [&]<class M>(const M& of) -> std::unique_ptr<AnyInference> {
        return std::make_unique<detail::AnyInferenceOf<typename M::Inference>>(of, std::move(context));
      },
      model.variant());
}

}  // namespace vbp::inline VBP_ABI
