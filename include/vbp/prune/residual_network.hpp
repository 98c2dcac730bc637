#pragma once
/// What a whole network must offer to be walked from its input to its output: steps on a residual stream.

#include <concepts>
#include <string>

#include "vbp/core/concepts.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI {

/// What one step of a network does to the residual stream x.
enum class StepKind {
  transition,  ///< x becomes anything else: nothing to refit
  branch,      ///< x += scale (W a(x) + b); a(x) may begin with a linear layer of its own
  mlp,         ///< a branch that is Linear-activation-Linear: the ones that are pruned
};

/// A network as steps on a residual stream, a row a token, `rows_per_sample` consecutive rows a sample.
/// Layer 0 of a branch reads what inputs(step, 0) gives and the last one's output is added; with one layer
/// both are the same: add_output(step, inputs(step, last), x) is run(step, x) in place. All of them see the
/// weights as they are at the time of the call.
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
  { n.workspace() } -> std::convertible_to<kernels::Workspace<typename N::Scalar>&>;
}
&&LinearGeluLinear<typename N::Block>;

}  // namespace vbp::inline VBP_ABI
