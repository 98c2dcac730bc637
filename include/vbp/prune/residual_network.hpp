#pragma once
/// What a whole network must offer to be walked from its input to its output: steps on a residual stream.

#include <concepts>
#include <functional>
#include <ranges>
#include <span>
#include <string>
#include <utility>

#include "vbp/core/concepts.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/compensate/fold.hpp"

namespace vbp::inline VBP_ABI {

/// What one step of a network does to the residual stream x.
enum class StepKind {
  transition,  ///< x becomes anything else: nothing to refit
  branch,      ///< x += scale (W a(x) + b); a(x) may begin with a linear layer of its own
  mlp,         ///< a branch that is Linear-activation-Linear: the ones that are pruned
};

/// A network as steps on a residual stream, one row a token, `rows_per_sample` consecutive rows a sample.
/// Layer 0 of a branch reads what inputs(step, 0) gives, and the last layer's output is added to the stream;
/// with one layer both are the same. add_output(step, inputs(step, last), x) is run(step, x) in place. All
/// functions use the weights as they are at the time of the call.
template <class N>
concept ResidualNetwork = requires(N& n, const N& c, Index step, Index layer,
                                   const MatrixView<typename N::Scalar>& x, Matrix<typename N::Scalar>& out,
                                   Eigen::Map<Matrix<typename N::Scalar>> stream, Matrix<double> weight,
                                   Vector<double> bias, typename N::Scalar* values) {
  typename N::Block;
  { c.steps() } -> std::convertible_to<Index>;
  { c.kind(step) } -> std::convertible_to<StepKind>;
  { c.name(step) } -> std::convertible_to<std::string>;
  { c.layers(step) } -> std::convertible_to<Index>;
  { c.rows_per_sample(step) } -> std::convertible_to<Index>;
  { c.weight(step, layer) } -> std::convertible_to<MatrixView<typename N::Scalar>>;
  { c.bias(step, layer) } -> std::convertible_to<Vector<typename N::Scalar>>;
  { c.scale(step) } -> std::convertible_to<Vector<typename N::Scalar>>;
  { n.block(step) } -> std::convertible_to<typename N::Block&>;
  n.set_layer(step, layer, weight, bias);
  n.inputs(step, layer, x, out);
  n.run(step, x, out);
  n.add_output(step, x, stream);
  n.activate(step, values, layer);
  n.outputs(x, out);
}
&&LinearGeluLinear<typename N::Block>;

namespace detail {

/// A ResidualNetwork over float behind virtual functions, so that what walks it is compiled once for all
/// networks. Weights and biases are given in double.
class AnyResidualNetwork {
 public:
  virtual ~AnyResidualNetwork() = default;

  virtual Index steps() const = 0;
  virtual StepKind kind(Index step) const = 0;
  virtual std::string name(Index step) const = 0;
  virtual Index layers(Index step) const = 0;
  virtual Index rows_per_sample(Index step) const = 0;
  virtual Index layer_inputs(Index step, Index layer) const = 0;
  virtual Matrix<double> weight(Index step, Index layer) const = 0;
  virtual Vector<double> bias(Index step, Index layer) const = 0;
  virtual Vector<float> scale(Index step) const = 0;
  virtual void set_layer(Index step, Index layer, const Matrix<double>& weight,
                         const Vector<double>& bias) = 0;
  virtual void inputs(Index step, Index layer, const MatrixView<float>& x, Matrix<float>& out) = 0;
  virtual void run(Index step, const MatrixView<float>& x, Matrix<float>& out) = 0;
  virtual void add_output(Index step, const MatrixView<float>& x, Eigen::Map<Matrix<float>> stream) = 0;
  virtual void activate(Index step, float* values, Index count) = 0;
  virtual void outputs(const MatrixView<float>& x, Matrix<float>& out) = 0;
  /// Cuts the block of an mlp step; compensates nothing.
  virtual void shrink_block(Index step, std::span<const Index> kept) = 0;
  virtual void set_block(Index step, Matrix<float> fc1_weight, Vector<float> fc1_bias,
                         Matrix<float> fc2_weight, Vector<float> fc2_bias) = 0;

 protected:
  AnyResidualNetwork() = default;
  AnyResidualNetwork(const AnyResidualNetwork&) = default;
  AnyResidualNetwork& operator=(const AnyResidualNetwork&) = default;
};

/// The same values in double.
VBP_FUNCTION Matrix<double> in_double(const MatrixView<float>& values);
VBP_FUNCTION Vector<double> in_double(const VectorView<float>& values);

/// The network N, which has to outlive this.
template <ResidualNetwork N>
class ResidualNetworkAdapter final : public AnyResidualNetwork {
  static_assert(std::same_as<typename N::Scalar, float>, "vbp: the residual stream must be float");

 public:
  explicit ResidualNetworkAdapter(N& network) noexcept : network_(network) {}

  Index steps() const override { return network_.steps(); }
  StepKind kind(Index step) const override { return network_.kind(step); }
  std::string name(Index step) const override { return network_.name(step); }
  Index layers(Index step) const override { return network_.layers(step); }
  Index rows_per_sample(Index step) const override { return network_.rows_per_sample(step); }
  Index layer_inputs(Index step, Index layer) const override {
    return std::as_const(network_).weight(step, layer).cols();
  }
  Matrix<double> weight(Index step, Index layer) const override {
    return in_double(MatrixView<float>(std::as_const(network_).weight(step, layer)));
  }
  Vector<double> bias(Index step, Index layer) const override {
    const Vector<float> bias = std::as_const(network_).bias(step, layer);
    return in_double(VectorView<float>(bias));
  }
  Vector<float> scale(Index step) const override { return std::as_const(network_).scale(step); }
  void set_layer(Index step, Index layer, const Matrix<double>& weight, const Vector<double>& bias) override {
    network_.set_layer(step, layer, weight, bias);
  }
  void inputs(Index step, Index layer, const MatrixView<float>& x, Matrix<float>& out) override {
    network_.inputs(step, layer, x, out);
  }
  void run(Index step, const MatrixView<float>& x, Matrix<float>& out) override {
    network_.run(step, x, out);
  }
  void add_output(Index step, const MatrixView<float>& x, Eigen::Map<Matrix<float>> stream) override {
    network_.add_output(step, x, stream);
  }
  void activate(Index step, float* values, Index count) override { network_.activate(step, values, count); }
  void outputs(const MatrixView<float>& x, Matrix<float>& out) override { network_.outputs(x, out); }
  void shrink_block(Index step, std::span<const Index> kept) override { shrink(network_.block(step), kept); }
  void set_block(Index step, Matrix<float> fc1_weight, Vector<float> fc1_bias, Matrix<float> fc2_weight,
                 Vector<float> fc2_bias) override {
    network_.block(step).set_weights(std::move(fc1_weight), std::move(fc1_bias), std::move(fc2_weight),
                                     std::move(fc2_bias));
  }

 private:
  N& network_;
};

/// The mean [hidden] and covariance [hidden, hidden] of a block's hidden activations.
struct BlockMoments {
  Vector<double> mean;
  Matrix<double> covariance;
};

/// Gives the moments of the blocks one after the other, each when it is needed: they may be large.
using NextBlockMoments = std::function<BlockMoments()>;

/// The moments of a range of covariances, which has to outlive what is returned.
template <CovarianceRange R>
NextBlockMoments moments_of(const R& covariances) {
  return [next = std::ranges::begin(covariances)]() mutable -> BlockMoments {
    const auto& seen = *next++;
    return {seen.mean(), seen.covariance()};
  };
}

}  // namespace detail

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/residual_network-inl.hpp"
#endif
