#pragma once
/// The criteria and compensations by name, and what each combination needs as input.

#include <string>
#include <string_view>
#include <vector>

#include "vbp/core/config.hpp"

namespace vbp::inline VBP_ABI {

/// How neurons are chosen: what each block's ranking is made from.
enum class Criterion {
  variance,         ///< variance_scores: the paper's
  output_variance,  ///< output_variance_scores
  dvbp,             ///< denoised_scores
  greedy,           ///< backward_elimination
  clusters,         ///< cluster_ranking
  magnitude,        ///< magnitude_scores
  snip,             ///< snip_scores
  random,           ///< random_scores
};

/// How the neurons that stay make up for the pruned ones.
enum class Compensation {
  none,                  ///< shrink_blocks
  mean_shift,            ///< fold_and_shrink_blocks: the paper's
  refit,                 ///< refit_and_shrink_blocks, each block by itself
  sequential,            ///< SequentialRefit of the second layers alone
  sequential_attention,  ///< and of attention's output projections
  sequential_all,        ///< and of the layers that read the residual stream
};

/// All criteria and all compensations, in the order in which help texts list them.
inline constexpr Criterion kCriteria[] = {
    Criterion::variance, Criterion::output_variance, Criterion::dvbp, Criterion::greedy,
    Criterion::clusters, Criterion::magnitude,       Criterion::snip, Criterion::random};
inline constexpr Compensation kCompensations[] = {
    Compensation::none,       Compensation::mean_shift,           Compensation::refit,
    Compensation::sequential, Compensation::sequential_attention, Compensation::sequential_all};

/// The name that options and reports use: "output-variance", "mean-shift", "sequential-all".
VBP_FUNCTION std::string_view name_of(Criterion criterion);
VBP_FUNCTION std::string_view name_of(Compensation compensation);

/// The value of that name. Throws ValueError, listing the names, for any other.
VBP_FUNCTION Criterion parse_criterion(std::string_view name);
VBP_FUNCTION Compensation parse_compensation(std::string_view name);

/// A criterion and a compensation.
struct Method {
  Criterion criterion = Criterion::variance;
  Compensation compensation = Compensation::mean_shift;

  /// The published name "vbp", "ob2c" or "dvbp+ob2c" where the method has one, else "criterion +
  /// compensation".
  VBP_FUNCTION std::string name() const;

  /// Whether the compensation fits layer after layer on the calibration images.
  constexpr bool is_sequential() const noexcept { return compensation >= Compensation::sequential; }

  /// Whether it needs the covariance of each block's hidden activations, not only their variances.
  constexpr bool needs_covariance() const noexcept {
    return criterion == Criterion::dvbp || criterion == Criterion::greedy ||
           criterion == Criterion::clusters || compensation == Compensation::refit || needs_images();
  }
  /// Whether it needs the calibration images themselves, not only statistics of them.
  constexpr bool needs_images() const noexcept { return is_sequential(); }
  /// Whether it needs the images' classes.
  constexpr bool needs_labels() const noexcept { return criterion == Criterion::snip; }

  bool operator==(const Method&) const = default;
};

/// The method of a published name: "vbp", "ob2c", "dvbp+ob2c". Throws ValueError, listing them, for any
/// other.
VBP_FUNCTION Method parse_method(std::string_view name);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/method-inl.hpp"
#endif
