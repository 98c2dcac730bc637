#pragma once
/// AdamW over the parameters of a Vision Transformer (Loshchilov and Hutter 2019).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/adamw.hpp"
#include "vbp/kernels/norm.hpp"
#include "vbp/vit/model.hpp"

namespace vbp {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;  ///< of weight matrices; biases, norms, scales, positions and tokens have none
  double layer_decay = 1.0;    ///< factor of the learning rate from a block to the one before it
  double clip_norm = 0.0;      ///< longest gradient over all parameters; 0 for no limit

  /// Throws ValueError, naming the member, for a value out of its range.
  void validate() const {
    const auto require = [](bool holds, const char* what) {
      if (!holds) throw ValueError(what);
    };
    require(beta1 >= 0.0 && beta1 < 1.0 && beta2 >= 0.0 && beta2 < 1.0, "beta1 and beta2 must lie in [0, 1)");
    require(epsilon > 0.0 && std::isfinite(epsilon), "AdamW's epsilon must be positive");
    require(weight_decay >= 0.0 && std::isfinite(weight_decay), "weight decay must not be negative");
    require(layer_decay > 0.0 && layer_decay <= 1.0, "layer-wise decay must lie in (0, 1]");
    require(clip_norm >= 0.0 && std::isfinite(clip_norm), "the gradient's limit must not be negative");
  }
};

namespace detail {

/// Whether weight decay applies: to the matrices of linear layers alone. `name` is timm's.
inline bool has_weight_decay(const std::string& name, bool is_vector) {
  return !is_vector && name != "pos_embed" && name != "reg_token";
}

/// Blocks between a parameter and the head, for layer-wise decay (Clark et al. 2020): 0 for head and final
/// norms, depth + 1 for the embedding.
inline Index layers_above(const std::string& name, Index depth) {
  if (name.starts_with("blocks.")) return depth - std::stoll(name.substr(7));
  const bool is_output =
      name.starts_with("norm.") || name.starts_with("fc_norm.") || name.starts_with("head");
  return is_output ? 0 : depth + 1;
}

}  // namespace detail

/// The optimiser of one model. It refers to model and gradient, whose matrices must not be resized. Its
/// result does not depend on the number of threads.
template <class T>
class AdamW {
 public:
  /// Both running means begin at zero. Throws ValueError for options out of range.
  AdamW(VisionTransformer<T>& model, const VisionTransformer<T>& gradient, const AdamWOptions& options)
      : options_(options), first_(make_vit<T>(model.config)), second_(make_vit<T>(model.config)) {
    options.validate();
    std::vector<const T*> gradients;
    std::vector<T*> firsts, seconds;
    const auto collect = [](auto& from, auto& to) {
      for_each_parameter(
          from, [&](const std::string&, auto& values, Index, Index) { to.push_back(values.data()); });
    };
    collect(gradient, gradients);
    collect(first_, firsts);
    collect(second_, seconds);
    std::size_t next = 0;
    const Index depth = model.config.depth();
    for_each_parameter(model, [&](const std::string& name, auto& values, Index rows, Index cols) {
      constexpr bool is_vector = std::remove_reference_t<decltype(values)>::IsVectorAtCompileTime;
      const double decay = detail::has_weight_decay(name, is_vector) ? options.weight_decay : 0.0;
      const double rate =
          std::pow(options.layer_decay, static_cast<double>(detail::layers_above(name, depth)));
      for (Index begin = 0; begin < rows * cols; begin += kPiece) {
        pieces_.push_back({gradients[next] + begin, firsts[next] + begin, seconds[next] + begin,
                           values.data() + begin, std::min(kPiece, rows * cols - begin), decay, rate});
      }
      ++next;
    });
    square_sums_.resize(pieces_.size());
  }

  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  /// The Euclidean norm of the whole gradient.
  double gradient_norm(ThreadPool& pool) {
    pool.parallel_for(static_cast<Index>(pieces_.size()), [&](Index i) {
      const Piece& piece = pieces_[static_cast<std::size_t>(i)];
      square_sums_[static_cast<std::size_t>(i)] = kernels::square_sum(piece.gradient, piece.size);
    });
    double sum = 0.0;
    for (const double part : square_sums_) sum += part;
    return std::sqrt(sum);
  }

  /// One step on the gradient, whose norm the caller has; it is shortened to clip_norm where it is longer.
  void step(double learning_rate, double gradient_norm, ThreadPool& pool) {
    ++steps_;
    const double count = static_cast<double>(steps_);
    kernels::AdamWStep<T> all{};
    all.gradient_scale = T(1);
    if (options_.clip_norm > 0.0) {
      // PyTorch's clip_grad_norm_ has the same term against a division by zero.
      all.gradient_scale = static_cast<T>(std::min(1.0, options_.clip_norm / (gradient_norm + 1e-6)));
    }
    all.beta1 = static_cast<T>(options_.beta1);
    all.beta2 = static_cast<T>(options_.beta2);
    all.second_correction = static_cast<T>(1.0 / std::sqrt(1.0 - std::pow(options_.beta2, count)));
    all.epsilon = static_cast<T>(options_.epsilon);
    const double first_correction = 1.0 / (1.0 - std::pow(options_.beta1, count));
    pool.parallel_for(static_cast<Index>(pieces_.size()), [&](Index i) {
      const Piece& piece = pieces_[static_cast<std::size_t>(i)];
      const double rate = learning_rate * piece.rate;
      kernels::AdamWStep<T> own = all;
      own.step_size = static_cast<T>(rate * first_correction);
      own.decay_factor = static_cast<T>(1.0 - rate * piece.decay);
      kernels::adamw_update(piece.gradient, piece.size, own, piece.first, piece.second, piece.values);
    });
  }

  /// The state, to be saved and restored: steps taken and the running means, shaped like the model.
  std::int64_t& steps() noexcept { return steps_; }
  VisionTransformer<T>& first() noexcept { return first_; }
  VisionTransformer<T>& second() noexcept { return second_; }

 private:
  // Values that one task takes; the norm is summed piece by piece, so its rounding depends on this alone.
  static constexpr Index kPiece = 16384;

  struct Piece {
    const T* gradient;
    T* first;
    T* second;
    T* values;
    Index size;
    double decay;
    double rate;  ///< factor of the learning rate
  };

  AdamWOptions options_;
  VisionTransformer<T> first_, second_;
  std::int64_t steps_ = 0;
  std::vector<Piece> pieces_;
  std::vector<double> square_sums_;
};

}  // namespace vbp
