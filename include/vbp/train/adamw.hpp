#pragma once
/// AdamW over the parameters of a model (Loshchilov and Hutter 2019).

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
#include "vbp/models/parameters.hpp"

namespace vbp::inline VBP_ABI {

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

/// Whether weight decay applies: to the matrices of linear layers and convolutions alone, not to tables of
/// positions and tokens. `name` is timm's.
inline bool has_weight_decay(const std::string& name, bool is_vector) {
  return !is_vector && name.ends_with(".weight");
}

/// Blocks between each parameter and the head, for layer-wise decay (Clark et al. 2020): 0 behind the last
/// block, depth + 1 before the first. What lies between two blocks counts with the one that follows.
template <class Model>
std::vector<Index> layers_above(const Model& model) {
  const std::vector<std::string> blocks = block_names(model.config);
  const auto depth = static_cast<Index>(blocks.size());
  std::vector<Index> layers;
  Index block = -1;
  bool inside = false;  // the block, and not before it
  for_each_parameter(model, [&](const std::string& name, const auto&, Index, Index) {
    const auto is_of = [&](Index b) {
      return b >= 0 && b < depth && name.starts_with(blocks[static_cast<std::size_t>(b)] + ".");
    };
    if (is_of(block)) {
      inside = true;
    } else if (is_of(block + 1) || inside) {
      inside = is_of(++block);
    }
    layers.push_back(depth - block);
  });
  return layers;
}

}  // namespace detail

/// The optimiser of one model. It refers to model and gradient, whose matrices must not be resized. Its
/// result does not depend on the number of threads.
template <class Model>
class AdamW {
 public:
  using Scalar = typename Model::Scalar;

  /// Both running means begin at zero. Throws ValueError for options out of range.
  AdamW(Model& model, const Model& gradient, const AdamWOptions& options)
      : options_(options), first_(zeros_like(model)), second_(zeros_like(model)) {
    options.validate();
    std::vector<const Scalar*> gradients;
    std::vector<Scalar*> firsts, seconds;
    const auto collect = [](auto& from, auto& to) {
      for_each_parameter(
          from, [&](const std::string&, auto& values, Index, Index) { to.push_back(values.data()); });
    };
    collect(gradient, gradients);
    collect(first_, firsts);
    collect(second_, seconds);
    std::size_t next = 0;
    const std::vector<Index> layers = detail::layers_above(model);
    for_each_parameter(model, [&](const std::string& name, auto& values, Index rows, Index cols) {
      constexpr bool is_vector = std::remove_reference_t<decltype(values)>::IsVectorAtCompileTime;
      const double decay = detail::has_weight_decay(name, is_vector) ? options.weight_decay : 0.0;
      const double rate = std::pow(options.layer_decay, static_cast<double>(layers[next]));
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
    kernels::AdamWStep<Scalar> all{};
    all.gradient_scale = Scalar(1);
    if (options_.clip_norm > 0.0) {
      // PyTorch's clip_grad_norm_ has the same term against a division by zero.
      all.gradient_scale = static_cast<Scalar>(std::min(1.0, options_.clip_norm / (gradient_norm + 1e-6)));
    }
    all.beta1 = static_cast<Scalar>(options_.beta1);
    all.beta2 = static_cast<Scalar>(options_.beta2);
    all.second_correction = static_cast<Scalar>(1.0 / std::sqrt(1.0 - std::pow(options_.beta2, count)));
    all.epsilon = static_cast<Scalar>(options_.epsilon);
    const double first_correction = 1.0 / (1.0 - std::pow(options_.beta1, count));
    pool.parallel_for(static_cast<Index>(pieces_.size()), [&](Index i) {
      const Piece& piece = pieces_[static_cast<std::size_t>(i)];
      const double rate = learning_rate * piece.rate;
      kernels::AdamWStep<Scalar> own = all;
      own.step_size = static_cast<Scalar>(rate * first_correction);
      own.decay_factor = static_cast<Scalar>(1.0 - rate * piece.decay);
      kernels::adamw_update(piece.gradient, piece.size, own, piece.first, piece.second, piece.values);
    });
  }

  /// The state, to be saved and restored: steps taken and the running means, shaped like the model.
  std::int64_t& steps() noexcept { return steps_; }
  Model& first() noexcept { return first_; }
  Model& second() noexcept { return second_; }

 private:
  // Values that one task takes; the norm is summed piece by piece, so its rounding depends on this alone.
  static constexpr Index kPiece = 16384;

  struct Piece {
    const Scalar* gradient;
    Scalar* first;
    Scalar* second;
    Scalar* values;
    Index size;
    double decay;
    double rate;  ///< factor of the learning rate
  };

  AdamWOptions options_;
  Model first_, second_;
  std::int64_t steps_ = 0;
  std::vector<Piece> pieces_;
  std::vector<double> square_sums_;
};

}  // namespace vbp::inline VBP_ABI
