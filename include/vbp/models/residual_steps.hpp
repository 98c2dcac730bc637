#pragma once
/// What the families' networks have in common as steps on a residual stream.

#include <array>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/stage_inference.hpp"
#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI::detail {

/// Branches of two linear layers over a model `M`, which they change and which must outlive them; `Ends` runs
/// what lies before the first step and behind the last. `Family` is derived from it and has the rest of a
/// ResidualNetwork, linear(step, layer), and prepare(step), what else is made ready with a step's weights.
template <class Family, class M, class Ends>
class BranchSteps {
 public:
  using Scalar = typename M::Scalar;
  using T = Scalar;

  Index layers(Index) const noexcept { return 2; }
  kernels::Workspace<T>& workspace() noexcept { return workspace_; }

  const Matrix<T>& weight(Index step, Index layer) const { return family().linear(step, layer).weight; }
  /// Zeros where the layer has none (q, k and v of some models).
  Vector<T> bias(Index step, Index layer) const {
    const Linear<T>& found = family().linear(step, layer);
    return found.bias.size() > 0 ? found.bias : Vector<T>(Vector<T>::Zero(found.weight.rows()));
  }

  /// A layer that had no bias gets none: it cannot be saved, and loses only the mean of what was fitted.
  void set_layer(Index step, Index layer, const Matrix<double>& weight, const Vector<double>& bias) {
    Linear<T>& target = const_cast<Linear<T>&>(family().linear(step, layer));
    target.weight = weight.cast<T>();
    if (target.bias.size() > 0) target.bias = bias.cast<T>();
    packed_step_ = -1;
  }

  /// The stream [rows, dim] after the step.
  void run(Index step, const MatrixView<T>& stream, Matrix<T>& out) {
    family().inputs(step, 1, stream, features_);
    out.resize(stream.rows(), stream.cols());
    add_output(step, features_, stream, out.data());
  }

  /// Adds what the step's last layer makes of its inputs [rows, in] to the stream [rows, dim].
  void add_output(Index step, const MatrixView<T>& features, Eigen::Map<Matrix<T>> stream) {
    add_output(step, features, stream, stream.data());
  }

  /// The MLP's activation, in place.
  void activate(Index, T* values, Index count) const noexcept {
    detail::activate(model_.config.activation, values, count);
  }

  /// The stream that enters step 0.
  Matrix<T> start(const MatrixView<T>& images) { return ends_.embedded(images); }

  /// The model's output for the stream that leaves the last step.
  void outputs(const MatrixView<T>& stream, Matrix<T>& out) { out = ends_.outputs_of(stream); }

 protected:
  BranchSteps(M& model, InferenceOptions options)
      : model_(model), ends_(model, options), workspace_(options.threads) {}

  /// A block that is about to be changed.
  auto& changed_block(Index block) {
    packed_step_ = -1;
    return model_.blocks[static_cast<std::size_t>(block)];
  }

  /// Weights of one step are packed at a time, when it is first run after a change.
  void pack(Index step) {
    if (packed_step_ == step) return;
    for (Index i = 0; i < 2; ++i) {
      const Linear<T>& layer = family().linear(step, i);
      PackedLinear<T>& packed = packed_[static_cast<std::size_t>(i)];
      packed.weight.assign(layer.weight, workspace_.pool());
      packed.bias = layer.bias;
    }
    family().prepare(step);
    packed_step_ = step;
  }

  /// The step's first layer.
  void multiply(Index step, const Matrix<T>& a, kernels::Epilogue<T> epilogue, Matrix<T>& out) {
    pack(step);
    out.resize(a.rows(), packed_[0].weight.out());
    detail::multiply(a.data(), a.cols(), a.rows(), packed_[0], epilogue, out.data(), out.cols(), workspace_);
  }

  /// What a layer of an attention or an MLP reads that stands behind a norm; attend(qkv, out) gives what the
  /// heads do.
  template <class Attend>
  void inputs_behind(const LayerNorm<T>& norm, Index step, Index layer, const MatrixView<T>& stream,
                     Matrix<T>& out, Attend&& attend) {
    Matrix<T>& normal = layer == 0 ? out : normal_;
    normal.resize(stream.rows(), stream.cols());
    normalise(norm, model_.config.epsilon, stream.data(), stream.outerStride(), stream.rows(), normal.data(),
              normal.cols(), workspace_);
    if (layer == 0) return;
    if (family().kind(step) == StepKind::mlp) {
      multiply(step, normal_, {.kind = epilogue_of(model_.config.activation)}, out);
      return;
    }
    multiply(step, normal_, {}, qkv_);
    out.resize(stream.rows(), stream.cols());
    attend(qkv_, out);
  }

  M& model_;
  Ends ends_;
  kernels::Workspace<T> workspace_;
  Matrix<T> normal_;

 private:
  Family& family() noexcept { return static_cast<Family&>(*this); }
  const Family& family() const noexcept { return static_cast<const Family&>(*this); }

  /// To `out`, without gaps, which may be the stream.
  void add_output(Index step, const MatrixView<T>& features, const MatrixView<T>& stream, T* out) {
    pack(step);
    detail::multiply(features.data(), features.outerStride(), features.rows(), packed_[1],
                     {.kind = kernels::EpilogueKind::scaled_residual,
                      .scale = data_or_null(family().scale(step)),
                      .residual = stream.data(),
                      .residual_stride = stream.outerStride()},
                     out, stream.cols(), workspace_);
  }

  std::array<PackedLinear<T>, 2> packed_;
  Index packed_step_ = -1;
  Matrix<T> qkv_, features_;
};

/// The same of a network of stages, with a transition between any two. `Family` has transition(stage,
/// stream) too, the stream that enters a stage.
template <class Family, class M, class Ends>
class StageSteps : public BranchSteps<Family, M, Ends> {
  using Base = BranchSteps<Family, M, Ends>;

 public:
  using T = typename Base::T;
  using Block = Mlp<T>;

  Index steps() const noexcept { return static_cast<Index>(steps_.size()); }
  StepKind kind(Index step) const noexcept { return at(step).kind; }
  std::string name(Index step) const { return at(step).name; }
  /// Of the stream that enters the step.
  Index rows_per_sample(Index step) const noexcept {
    return this->model_.config.pixels(at(step).kind == StepKind::transition ? at(step).stage - 1
                                                                            : at(step).stage);
  }
  Mlp<T>& block(Index step) { return this->changed_block(at(step).block); }

  /// The stream [rows, dim] after the step.
  void run(Index step, const MatrixView<T>& stream, Matrix<T>& out) {
    if (kind(step) == StepKind::transition) {
      out = static_cast<Family&>(*this).transition(at(step).stage, stream);
    } else {
      Base::run(step, stream, out);
    }
  }

 protected:
  struct Step {
    std::string name;
    StepKind kind;
    Index stage;  ///< of the block, or that a transition leads to
    Index block;  ///< -1 for a transition
  };

  /// `branches` are a block's, as their names end.
  StageSteps(M& model, InferenceOptions options,
             std::initializer_list<std::pair<const char*, StepKind>> branches)
      : Base(model, options) {
    const std::vector<std::string> names = block_names(model.config);
    for (Index stage = 0, b = 0; stage < model.config.stages(); ++stage) {
      const std::string of_stage = stage_name(names[static_cast<std::size_t>(b)]);
      if (stage > 0) steps_.push_back({of_stage + ".downsample", StepKind::transition, stage, -1});
      for (; b < model.config.first_block(stage + 1); ++b) {
        for (const auto& [ending, kind] : branches) {
          steps_.push_back({names[static_cast<std::size_t>(b)] + ending, kind, stage, b});
        }
      }
    }
  }

  const Step& at(Index step) const noexcept { return steps_[static_cast<std::size_t>(step)]; }
  const auto& block_of(Index step) const {
    return this->model_.blocks[static_cast<std::size_t>(at(step).block)];
  }

 private:
  std::vector<Step> steps_;
};

}  // namespace vbp::inline VBP_ABI::detail
