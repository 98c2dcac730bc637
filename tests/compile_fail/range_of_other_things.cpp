// Pruning a range whose elements are no blocks names what they lack.
// expect: vbp: the block needs a member type Scalar
#include <vector>

#include "vbp/prune/mlp.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

#ifdef VBP_MUST_FAIL
using Blocks = std::vector<vbp::Matrix<int>>;
#else
using Blocks = std::vector<vbp::Mlp<float>>;
#endif

}  // namespace

/// Instantiates the pruning of a range of blocks.
void use(const vbp::PruningPlan& plan, Blocks& blocks) {
  vbp::shrink_blocks(plan, blocks);
}
