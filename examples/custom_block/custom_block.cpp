/// Prunes a block type that is not ours: it keeps its weights in plain buffers and inherits from nothing.

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numbers>
#include <numeric>
#include <vector>

#include <vbp/prune.hpp>

namespace {

/// A feed-forward block as some engine might store it: four buffers and three sizes.
class MyBlock {
 public:
  MyBlock(vbp::Index in, vbp::Index hidden, vbp::Index out, vbp::Random& random)
      : in_(in), hidden_(hidden), out_(out) {
    const auto fill = [&random](std::vector<float>& buffer, vbp::Index size, double scale) {
      buffer.resize(static_cast<std::size_t>(size));
      for (float& value : buffer) value = static_cast<float>(scale * random.normal());
    };
    fill(w1_, hidden * in, 0.3 / std::sqrt(static_cast<double>(in)));
    fill(b1_, hidden, 1.0);
    fill(w2_, out * hidden, 1 / std::sqrt(static_cast<double>(hidden)));
    fill(b2_, out, 1.0);
  }

  // What LinearGeluLinear asks for: the scalar, four views, and a way to replace the weights.
  using Scalar = float;
  using MatrixMap = Eigen::Map<const vbp::Matrix<float>>;
  using VectorMap = Eigen::Map<const vbp::Vector<float>>;

  MatrixMap fc1_weight() const { return {w1_.data(), hidden_, in_}; }
  VectorMap fc1_bias() const { return {b1_.data(), hidden_}; }
  MatrixMap fc2_weight() const { return {w2_.data(), out_, hidden_}; }
  VectorMap fc2_bias() const { return {b2_.data(), out_}; }

  void set_weights(const vbp::Matrix<float>& w1, const vbp::Vector<float>& b1, const vbp::Matrix<float>& w2,
                   const vbp::Vector<float>& b2) {
    hidden_ = w1.rows();
    w1_.assign(w1.data(), w1.data() + w1.size());
    b1_.assign(b1.data(), b1.data() + b1.size());
    w2_.assign(w2.data(), w2.data() + w2.size());
    b2_.assign(b2.data(), b2.data() + b2.size());
  }

  // The rest is the engine's own.
  vbp::Index hidden() const { return hidden_; }

  vbp::Matrix<float> hidden_activation(const vbp::Matrix<float>& x) const {
    vbp::Matrix<float> h = linear(x, w1_, b1_);
    std::for_each(h.data(), h.data() + h.size(),
                  [](float& v) { v = v * std::erfc(-v / std::numbers::sqrt2_v<float>) / 2; });
    return h;
  }

  vbp::Matrix<float> operator()(const vbp::Matrix<float>& x) const {
    return linear(hidden_activation(x), w2_, b2_);
  }

 private:
  static vbp::Matrix<float> linear(const vbp::Matrix<float>& x, const std::vector<float>& weight,
                                   const std::vector<float>& bias) {
    vbp::Matrix<float> y(x.rows(), static_cast<vbp::Index>(bias.size()));
    for (vbp::Index row = 0; row < y.rows(); ++row) {
      for (vbp::Index j = 0; j < y.cols(); ++j) {
        const auto* const w = weight.data() + j * x.cols();
        const auto* const in = x.data() + row * x.cols();
        y(row, j) = std::inner_product(in, in + x.cols(), w, bias[static_cast<std::size_t>(j)]);
      }
    }
    return y;
  }

  vbp::Index in_, hidden_, out_;
  std::vector<float> w1_, b1_, w2_, b2_;
};

// Names what is missing, should the block ever stop to model the concept.
static_assert(vbp::require_linear_gelu_linear<MyBlock>());

/// The two blocks one after the other on a residual stream.
vbp::Matrix<float> forward(const std::vector<MyBlock>& blocks, vbp::Matrix<float> x,
                           std::vector<vbp::Statistics<double>>* statistics = nullptr) {
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (statistics) (*statistics)[b].observe(blocks[b].hidden_activation(x));
    x += blocks[b](x);
  }
  return x;
}

}  // namespace

int main() {
  vbp::Random random(2);
  const auto gaussian = [&random](vbp::Index rows, vbp::Index cols) -> vbp::Matrix<float> {
    return vbp::Matrix<float>::NullaryExpr(rows, cols, [&] { return static_cast<float>(random.normal()); });
  };
  const std::vector<MyBlock> dense{{32, 128, 32, random}, {32, 128, 32, random}};
  std::vector<vbp::Statistics<double>> statistics;
  for (const MyBlock& block : dense) statistics.emplace_back(block.hidden());
  forward(dense, gaussian(4096, 32), &statistics);

  const vbp::Matrix<float> unseen = gaussian(1024, 32);
  const vbp::Matrix<float> expected = forward(dense, unseen);
  for (const bool mean_shift : {false, true}) {
    std::vector<MyBlock> blocks = dense;
    const vbp::PruningPlan plan = vbp::prune(blocks, statistics, {.rate = 0.5, .mean_shift = mean_shift});
    std::cout << (mean_shift ? "with" : "without") << " mean shift: widths";
    for (const vbp::PruningPlan::Block& block : plan.blocks) {
      std::cout << ' ' << block.width << " -> " << block.kept_width();
    }
    std::cout << ", relative error " << (forward(blocks, unseen) - expected).norm() / expected.norm() << '\n';
  }
}
