// What has no mean and variance cannot rank neurons.
// expect: HasMoments
#include <vector>

#include "vbp/prune/criteria/scores.hpp"

namespace {

#ifdef VBP_MUST_FAIL
using Observed = std::vector<vbp::Vector<double>>;
#else
using Observed = std::vector<vbp::Statistics<double>>;
#endif

}  // namespace

/// Instantiates the scoring.
vbp::Scores use(const Observed& observed) {
  return vbp::variance_scores(observed);
}
