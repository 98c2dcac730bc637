#pragma once
/// A model of any family as steps on its residual stream.

#include <string>
#include <variant>

#include "model.hpp"
#include "vbp/models/convnext/steps.hpp"
#include "vbp/models/swin/steps.hpp"
#include "vbp/models/vit/steps.hpp"
#include "vbp/prune/residual_network.hpp"

namespace tool {

/// Models vbp::ResidualNetwork over the network of a model's family, so that what walks networks is compiled
/// once. It changes the model, which must outlive it.
class Network {
  /// call(network) with the family's own.
  template <class Self, class Call>
  static decltype(auto) visit_of(Self& network, Call&& call) {
    if (auto* const vit = std::get_if<vbp::VitNetwork<float>>(&network)) return call(*vit);
    if (auto* const convnext = std::get_if<vbp::ConvNextNetwork<float>>(&network)) return call(*convnext);
    return call(std::get<vbp::SwinNetwork<float>>(network));
  }
  template <class Call>
  decltype(auto) visit(Call&& call) {
    return visit_of(network_, call);
  }
  template <class Call>
  decltype(auto) visit(Call&& call) const {
    return visit_of(network_, call);
  }

 public:
  using Scalar = float;
  using Block = vbp::Mlp<float>;
  using Index = vbp::Index;
  using Rows = vbp::MatrixView<float>;

  Network(Model& model, int threads) {
    const vbp::InferenceOptions options{.threads = threads};
    if (auto* const vit = std::get_if<vbp::VisionTransformer<float>>(&model)) {
      network_.emplace<vbp::VitNetwork<float>>(*vit, options);
    } else if (auto* const convnext = std::get_if<vbp::ConvNext<float>>(&model)) {
      network_.emplace<vbp::ConvNextNetwork<float>>(*convnext, options);
    } else {
      network_.emplace<vbp::SwinNetwork<float>>(std::get<vbp::SwinTransformer<float>>(model), options);
    }
  }

  Index steps() const {
    return visit([](auto& n) { return n.steps(); });
  }
  vbp::StepKind kind(Index step) const {
    return visit([=](auto& n) { return n.kind(step); });
  }
  std::string name(Index step) const {
    return visit([=](auto& n) { return n.name(step); });
  }
  Index layers(Index step) const {
    return visit([=](auto& n) { return n.layers(step); });
  }
  Index rows_per_sample(Index step) const {
    return visit([=](auto& n) { return n.rows_per_sample(step); });
  }
  const vbp::Matrix<float>& weight(Index step, Index layer) const {
    return visit([=](auto& n) -> const vbp::Matrix<float>& { return n.weight(step, layer); });
  }
  vbp::Vector<float> bias(Index step, Index layer) const {
    return visit([=](auto& n) -> vbp::Vector<float> { return n.bias(step, layer); });
  }
  const vbp::Vector<float>& scale(Index step) const {
    return visit([=](auto& n) -> const vbp::Vector<float>& { return n.scale(step); });
  }
  Block& block(Index step) {
    return visit([=](auto& n) -> Block& { return n.block(step); });
  }
  void set_layer(Index step, Index layer, const vbp::Matrix<double>& weight,
                 const vbp::Vector<double>& bias) {
    visit([&](auto& n) { n.set_layer(step, layer, weight, bias); });
  }
  void inputs(Index step, Index layer, const Rows& stream, vbp::Matrix<float>& out) {
    visit([&](auto& n) { n.inputs(step, layer, stream, out); });
  }
  void run(Index step, const Rows& stream, vbp::Matrix<float>& out) {
    visit([&](auto& n) { n.run(step, stream, out); });
  }
  void add_output(Index step, const Rows& features, Eigen::Map<vbp::Matrix<float>> stream) {
    visit([&](auto& n) { n.add_output(step, features, stream); });
  }
  void activate(Index step, float* values, Index count) const {
    visit([=](auto& n) { n.activate(step, values, count); });
  }
  void outputs(const Rows& stream, vbp::Matrix<float>& out) {
    visit([&](auto& n) { n.outputs(stream, out); });
  }
  vbp::kernels::Workspace<float>& workspace() {
    return visit([](auto& n) -> vbp::kernels::Workspace<float>& { return n.workspace(); });
  }

 private:
  std::variant<std::monostate, vbp::VitNetwork<float>, vbp::ConvNextNetwork<float>, vbp::SwinNetwork<float>>
      network_;
};

static_assert(vbp::ResidualNetwork<Network>);

}  // namespace tool
