#pragma once
/// A model of any family as steps on its residual stream. The sequential refit and the sensitivities use
/// these steps.

#include <string>
#include <variant>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/models/convnext/steps.hpp"
#include "vbp/models/swin/steps.hpp"
#include "vbp/models/vit/steps.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/prune/mlp.hpp"
#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI {

/// Models the concept ResidualNetwork for a model of any family, by the steps of its own family. Code that
/// goes through networks is therefore compiled once for all families. An object changes the model, and the
/// model must outlive it.
class AnySteps {
 public:
  using Scalar = float;
  using Block = Mlp<float>;
  using Rows = MatrixView<float>;

  VBP_FUNCTION explicit AnySteps(AnyModel& model, Context context = {});

  VBP_FUNCTION Index steps() const;
  VBP_FUNCTION StepKind kind(Index step) const;
  VBP_FUNCTION std::string name(Index step) const;
  VBP_FUNCTION Index layers(Index step) const;
  VBP_FUNCTION Index rows_per_sample(Index step) const;
  VBP_FUNCTION const Matrix<float>& weight(Index step, Index layer) const;
  VBP_FUNCTION Vector<float> bias(Index step, Index layer) const;
  VBP_FUNCTION const Vector<float>& scale(Index step) const;
  VBP_FUNCTION Block& block(Index step);
  VBP_FUNCTION void set_layer(Index step, Index layer, const Matrix<double>& weight,
                              const Vector<double>& bias);
  VBP_FUNCTION void inputs(Index step, Index layer, const Rows& stream, Matrix<float>& out);
  VBP_FUNCTION void run(Index step, const Rows& stream, Matrix<float>& out);
  VBP_FUNCTION void add_output(Index step, const Rows& features, Eigen::Map<Matrix<float>> stream);
  VBP_FUNCTION void activate(Index step, float* values, Index count) const;
  VBP_FUNCTION void outputs(const Rows& stream, Matrix<float>& out);
  VBP_FUNCTION kernels::Workspace<float>& workspace();

 private:
  /// Returns call(steps), with the steps of the model's own family.
  template <class Self, class Call>
  static decltype(auto) visit(Self& self, Call&& call) {
    if (auto* const vit = std::get_if<VitSteps<float>>(&self.steps_)) return call(*vit);
    if (auto* const convnext = std::get_if<ConvNextSteps<float>>(&self.steps_)) return call(*convnext);
    return call(std::get<SwinSteps<float>>(self.steps_));
  }

  std::variant<std::monostate, VitSteps<float>, ConvNextSteps<float>, SwinSteps<float>> steps_;
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/steps-inl.hpp"
#endif
