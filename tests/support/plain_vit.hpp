#pragma once
/// A Vision Transformer in double, written from its definition: plain loops over one image at a time, none of
/// vbp's kernels. And models with random weights to try it on.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp_test {

using vbp::Index;
using vbp::Matrix;
using vbp::Vector;

/// What the forward pass gives: logits [n, outputs], and of each block the activations after GELU, [n *
/// tokens, hidden].
struct PlainOutput {
  Matrix<double> logits;
  std::vector<Matrix<double>> hidden;
};

class PlainVit {
 public:
  template <class T>
  explicit PlainVit(const vbp::VisionTransformer<T>& model)
      : model_(vbp::cast<double>(model)), config_(model_.config) {}

  PlainOutput operator()(const Matrix<double>& images) const {
    PlainOutput output;
    output.logits.resize(images.rows(), config_.outputs());
    for (const Index width : config_.hidden_widths) {
      output.hidden.emplace_back(images.rows() * config_.tokens(), width);
    }
    for (Index image = 0; image < images.rows(); ++image) {
      Matrix<double> x = tokens_of(images.row(image));
      for (std::size_t b = 0; b < model_.blocks.size(); ++b) {
        const vbp::VitBlock<double>& block = model_.blocks[b];
        const Matrix<double> attended =
            linear(block.proj, attention(linear(block.qkv, norm(block.norm1, x))));
        x += scaled(block.layer_scale1, attended);
        const Matrix<double> hidden = activation(linear(block.fc1, norm(block.norm2, x)));
        x += scaled(block.layer_scale2, linear(block.fc2, hidden));
        output.hidden[b].middleRows(image * config_.tokens(), config_.tokens()) = hidden;
      }
      output.logits.row(image) = head(x);
    }
    return output;
  }

 private:
  /// A convolution whose stride is its width, then the tokens before the patches, then positions.
  Matrix<double> tokens_of(const Matrix<double>& image) const {
    const Index size = config_.image_size;
    const Index patch = config_.patch_size;
    const Index prefix = config_.prefix_tokens();
    Matrix<double> x(config_.tokens(), config_.dim);
    Index token = 0;
    if (config_.class_token) x.row(token++) = model_.class_token;
    if (config_.distillation_token) x.row(token++) = model_.distillation_token;
    for (Index r = 0; r < config_.register_tokens; ++r) x.row(token++) = model_.register_tokens.row(r);
    for (Index top = 0; top < size; top += patch) {
      for (Index left = 0; left < size; left += patch, ++token) {
        for (Index feature = 0; feature < config_.dim; ++feature) {
          double sum = model_.patch_embed.bias[feature];
          for (Index channel = 0; channel < config_.channels; ++channel) {
            for (Index y = 0; y < patch; ++y) {
              for (Index column = 0; column < patch; ++column) {
                sum += model_.patch_embed.weight(feature, (channel * patch + y) * patch + column) *
                       image(0, (channel * size + top + y) * size + left + column);
              }
            }
          }
          x(token, feature) = sum;
        }
      }
    }
    const Index first = config_.position_covers_prefix ? 0 : prefix;
    for (Index i = first; i < x.rows(); ++i) x.row(i) += model_.positions.row(i - first);
    return x;
  }

  Matrix<double> norm(const vbp::LayerNorm<double>& layer, const Matrix<double>& x) const {
    Matrix<double> result = x;
    for (Index i = 0; i < x.rows(); ++i) {
      const double mean = x.row(i).mean();
      const double variance = (x.row(i).array() - mean).square().mean();
      for (Index j = 0; j < x.cols(); ++j) {
        result(i, j) = (x(i, j) - mean) / std::sqrt(variance + config_.epsilon);
        result(i, j) = result(i, j) * layer.weight[j] + layer.bias[j];
      }
    }
    return result;
  }

  static Matrix<double> linear(const vbp::Linear<double>& layer, const Matrix<double>& x) {
    Matrix<double> y(x.rows(), layer.weight.rows());
    for (Index i = 0; i < y.rows(); ++i) {
      for (Index j = 0; j < y.cols(); ++j) {
        y(i, j) = layer.bias.size() > 0 ? layer.bias[j] : 0.0;
        for (Index k = 0; k < x.cols(); ++k) y(i, j) += x(i, k) * layer.weight(j, k);
      }
    }
    return y;
  }

  static Matrix<double> scaled(const Vector<double>& scale, Matrix<double> x) {
    for (Index j = 0; j < scale.size(); ++j) x.col(j) *= scale[j];
    return x;
  }

  Matrix<double> attention(const Matrix<double>& qkv) const {
    const Index tokens = qkv.rows();
    const Index dim = config_.dim;
    const Index width = dim / config_.heads;
    Matrix<double> out = Matrix<double>::Zero(tokens, dim);
    for (Index head = 0; head < config_.heads; ++head) {
      for (Index i = 0; i < tokens; ++i) {
        std::vector<double> weights;
        double sum = 0.0;
        for (Index j = 0; j < tokens; ++j) {
          double score = 0.0;
          for (Index f = head * width; f < (head + 1) * width; ++f) score += qkv(i, f) * qkv(j, dim + f);
          weights.push_back(std::exp(score / std::sqrt(static_cast<double>(width))));
          sum += weights.back();
        }
        for (Index j = 0; j < tokens; ++j) {
          for (Index f = head * width; f < (head + 1) * width; ++f) {
            out(i, f) += weights[static_cast<std::size_t>(j)] / sum * qkv(j, 2 * dim + f);
          }
        }
      }
    }
    return out;
  }

  Matrix<double> activation(Matrix<double> x) const {
    for (double& value : x.reshaped()) {
      const double inner =
          config_.activation == vbp::Activation::gelu
              ? std::erf(value / std::numbers::sqrt2)
              : std::tanh(std::sqrt(2.0 / std::numbers::pi) * (value + 0.044715 * value * value * value));
      value *= (1.0 + inner) / 2.0;
    }
    return x;
  }

  Matrix<double> head(const Matrix<double>& tokens) const {
    const Matrix<double> x = config_.norm ? norm(model_.norm, tokens) : tokens;
    Matrix<double> pooled(1, config_.pooled_features());
    const Matrix<double> average = x.bottomRows(config_.patches()).colwise().mean();
    if (config_.pooling == vbp::Pooling::class_token) pooled = x.row(0);
    if (config_.pooling == vbp::Pooling::average) pooled = average;
    if (config_.pooling == vbp::Pooling::class_token_and_average) pooled << x.row(0), average;
    if (config_.fc_norm) pooled = norm(model_.fc_norm, pooled);
    if (config_.classes == 0) return pooled;
    Matrix<double> logits = linear(model_.head, pooled);
    if (config_.distillation_token) {
      logits = (logits + linear(model_.head_distillation, x.row(1))) / 2.0;
    }
    return logits;
  }

  vbp::VisionTransformer<double> model_;
  vbp::VitConfig config_;
};

/// A model of this shape with random weights of the usual sizes. No parameter is zero or one, so that none
/// can be forgotten unseen.
template <class T>
vbp::VisionTransformer<T> random_vit(const vbp::VitConfig& config, std::uint64_t seed) {
  vbp::Random random(seed);
  vbp::VisionTransformer<T> model = vbp::make_model<vbp::VisionTransformer<T>>(config);
  vbp::for_each_parameter(model, [&](const std::string& name, auto& parameter, Index, Index columns) {
    const bool is_weight = name.ends_with("weight");
    double center = 0.0;
    double deviation = 0.5;
    if (name.ends_with("gamma") || (is_weight && columns == 1)) {
      center = 0.8;
      deviation = 0.3;
    } else if (is_weight) {
      deviation = 1.3 / std::sqrt(static_cast<double>(columns));
    }
    for (T& value : parameter.reshaped()) value = static_cast<T>(center + deviation * random.normal());
  });
  return model;
}

/// Images [n, channels * size * size] of standard normal values.
template <class T>
Matrix<T> random_images(const vbp::VitConfig& config, Index count, std::uint64_t seed) {
  vbp::Random random(seed);
  return Matrix<T>::NullaryExpr(count, config.image_elements(),
                                [&] { return static_cast<T>(random.normal()); });
}

/// The largest difference in parts of the largest expected magnitude.
template <class A, class B>
double relative_difference(const Matrix<A>& actual, const Matrix<B>& expected) {
  if (actual.rows() != expected.rows() || actual.cols() != expected.cols()) return INFINITY;
  const Matrix<double> exact = expected.template cast<double>();
  return (actual.template cast<double>() - exact).cwiseAbs().maxCoeff() / exact.cwiseAbs().maxCoeff();
}

}  // namespace vbp_test
