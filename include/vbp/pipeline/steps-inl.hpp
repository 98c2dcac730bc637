#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "vbp/pipeline/steps.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION AnySteps::AnySteps(AnyModel& model, Context context) {
  std::visit(
      [&]<class M>(M& of) -> void { steps_.template emplace<typename M::Steps>(of, std::move(context)); },
      model.variant());
}

VBP_FUNCTION Index AnySteps::steps() const {
  return visit(*this, [](auto& steps) -> Index { return steps.steps(); });
}

VBP_FUNCTION StepKind AnySteps::kind(Index step) const {
  return visit(*this, [=](auto& steps) -> StepKind { return steps.kind(step); });
}

VBP_FUNCTION std::string AnySteps::name(Index step) const {
  return visit(*this, [=](auto& steps) -> std::string { return steps.name(step); });
}

VBP_FUNCTION Index AnySteps::layers(Index step) const {
  return visit(*this, [=](auto& steps) -> Index { return steps.layers(step); });
}

VBP_FUNCTION Index AnySteps::rows_per_sample(Index step) const {
  return visit(*this, [=](auto& steps) -> Index { return steps.rows_per_sample(step); });
}

VBP_FUNCTION const Matrix<float>& AnySteps::weight(Index step, Index layer) const {
  return visit(*this, [=](auto& steps) -> const Matrix<float>& { return steps.weight(step, layer); });
}

VBP_FUNCTION Vector<float> AnySteps::bias(Index step, Index layer) const {
  return visit(*this, [=](auto& steps) -> Vector<float> { return steps.bias(step, layer); });
}

VBP_FUNCTION const Vector<float>& AnySteps::scale(Index step) const {
  return visit(*this, [=](auto& steps) -> const Vector<float>& { return steps.scale(step); });
}

VBP_FUNCTION AnySteps::Block& AnySteps::block(Index step) {
  return visit(*this, [=](auto& steps) -> Block& { return steps.block(step); });
}

VBP_FUNCTION void AnySteps::set_layer(Index step, Index layer, const Matrix<double>& weight,
                                      const Vector<double>& bias) {
  visit(*this, [&](auto& steps) { steps.set_layer(step, layer, weight, bias); });
}

VBP_FUNCTION void AnySteps::inputs(Index step, Index layer, const Rows& stream, Matrix<float>& out) {
  visit(*this, [&](auto& steps) { steps.inputs(step, layer, stream, out); });
}

VBP_FUNCTION void AnySteps::run(Index step, const Rows& stream, Matrix<float>& out) {
  visit(*this, [&](auto& steps) { steps.run(step, stream, out); });
}

VBP_FUNCTION void AnySteps::add_output(Index step, const Rows& features, Eigen::Map<Matrix<float>> stream) {
  visit(*this, [&](auto& steps) { steps.add_output(step, features, stream); });
}

VBP_FUNCTION void AnySteps::activate(Index step, float* values, Index count) const {
  visit(*this, [=](auto& steps) { steps.activate(step, values, count); });
}

VBP_FUNCTION void AnySteps::outputs(const Rows& stream, Matrix<float>& out) {
  visit(*this, [&](auto& steps) { steps.outputs(stream, out); });
}

VBP_FUNCTION kernels::Workspace<float>& AnySteps::workspace() {
  return visit(*this, [](auto& steps) -> kernels::Workspace<float>& { return steps.workspace(); });
}

}  // namespace vbp::inline VBP_ABI
