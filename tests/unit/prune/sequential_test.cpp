#include "vbp/prune/compensate/sequential.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/random.hpp"
#include "vbp/kernels/activation.hpp"
#include "vbp/prune/compensate/gauss_newton.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/criteria/greedy.hpp"
#include "vbp/prune/criteria/sensitivity.hpp"
#include "vbp/prune/mlp.hpp"
#include "vbp/stats/covariance.hpp"

namespace {

namespace fs = std::filesystem;

using Catch::Matchers::Contains;
using vbp::Index;
using vbp::Matrix;
using vbp::StepKind;
using vbp::Vector;
using Indices = std::vector<Index>;

Matrix<float> gaussian(vbp::Random& random, Index rows, Index cols, double scale = 1.0) {
  return Matrix<float>::NullaryExpr(rows, cols, [&] { return static_cast<float>(scale * random.normal()); });
}

/// A network without attention: an MLP, a branch of one linear layer on the tanh of the stream, a
/// down-sampling that joins each two rows of a sample into one of twice the width, and another MLP.
class ToyNetwork {
 public:
  using Scalar = float;
  using Block = vbp::Mlp<float>;
  static constexpr Index kWidth = 6, kRows = 4;

  explicit ToyNetwork(std::uint64_t seed) {
    vbp::Random random(seed);
    const auto mlp = [&](Index width, Index hidden) {
      const auto w = static_cast<double>(width);
      const auto h = static_cast<double>(hidden);
      return Block(gaussian(random, hidden, width, 1.5 / std::sqrt(w)), gaussian(random, hidden, 1, 0.3),
                   gaussian(random, width, hidden, 1.5 / std::sqrt(h)), gaussian(random, width, 1, 0.3));
    };
    blocks_ = {mlp(kWidth, 48), mlp(2 * kWidth, 40)};
    branch_weight_ = gaussian(random, kWidth, kWidth, 0.5);
    branch_bias_ = gaussian(random, kWidth, 1, 0.5);
    scale_ = Vector<float>::Ones(kWidth);
    scale_(1) = 0.0F;
    scale_(2) = -2.0F;
  }

  Index steps() const { return 4; }
  StepKind kind(Index step) const {
    return step == 1 ? StepKind::branch : step == 2 ? StepKind::transition : StepKind::mlp;
  }
  std::string name(Index step) const { return "step." + std::to_string(step); }
  Index layers(Index step) const { return step == 1 ? 1 : step == 2 ? 0 : 2; }
  Index rows_per_sample(Index step) const { return step < 3 ? kRows : kRows / 2; }
  const Matrix<float>& weight(Index step, Index layer) const {
    if (step == 1) return branch_weight_;
    return layer == 0 ? of(step).fc1_weight() : of(step).fc2_weight();
  }
  Vector<float> bias(Index step, Index layer) const {
    if (step == 1) return branch_bias_;
    return layer == 0 ? of(step).fc1_bias() : of(step).fc2_bias();
  }
  Vector<float> scale(Index step) const { return step == 0 ? scale_ : Vector<float>(); }
  Block& block(Index step) { return blocks_[step == 0 ? 0 : 1]; }
  void set_layer(Index step, Index layer, const Matrix<double>& weight, const Vector<double>& bias) {
    if (step == 1) {
      branch_weight_ = weight.cast<float>();
      branch_bias_ = bias.cast<float>();
      return;
    }
    Block& b = block(step);
    if (layer == 0) {
      b.set_weights(weight.cast<float>(), bias.cast<float>(), b.fc2_weight(), b.fc2_bias());
    } else {
      b.set_weights(b.fc1_weight(), b.fc1_bias(), weight.cast<float>(), bias.cast<float>());
    }
  }
  void inputs(Index step, Index layer, const vbp::MatrixView<float>& x, Matrix<float>& out) {
    if (step == 1) {
      out = x.array().tanh();
    } else {
      out = layer == 0 ? Matrix<float>(x) : of(step).hidden_activation(x);
    }
  }
  void run(Index step, const vbp::MatrixView<float>& x, Matrix<float>& out) {
    if (step == 2) {
      out.resize(x.rows() / 2, 2 * x.cols());
      for (Index r = 0; r < out.rows(); ++r) out.row(r) << x.row(2 * r), x.row(2 * r + 1);
      return;
    }
    Matrix<float> features;
    inputs(step, layers(step) - 1, x, features);
    out = x;
    add_output(step, features, {out.data(), out.rows(), out.cols()});
  }
  void add_output(Index step, const vbp::MatrixView<float>& features, Eigen::Map<Matrix<float>> stream) {
    Matrix<float> y = (features * weight(step, layers(step) - 1).transpose()).rowwise() +
                      bias(step, layers(step) - 1).transpose();
    if (step == 0) y = y * scale_.asDiagonal();
    stream += y;
  }
  void activate(Index, float* values, Index count) { vbp::kernels::gelu(values, count, values); }
  void outputs(const vbp::MatrixView<float>& x, Matrix<float>& out) { out = x; }

  Matrix<float> operator()(Matrix<float> x) {
    Matrix<float> next;
    for (Index step = 0; step < steps(); ++step) {
      run(step, x, next);
      x = next;
    }
    return x;
  }

  /// Covariances of the hidden activations.
  std::vector<vbp::Covariance<float>> observe(Matrix<float> x) {
    std::vector<vbp::Covariance<float>> seen;
    Matrix<float> next;
    for (Index step = 0; step < steps(); ++step) {
      if (kind(step) == StepKind::mlp) {
        inputs(step, 1, x, next);
        seen.emplace_back(next.cols()).observe(next);
      }
      run(step, x, next);
      x = next;
    }
    return seen;
  }

 private:
  const Block& of(Index step) const { return blocks_[step == 0 ? 0 : 1]; }

  std::vector<Block> blocks_;
  Matrix<float> branch_weight_;
  Vector<float> branch_bias_, scale_;
};
static_assert(vbp::ResidualNetwork<ToyNetwork>);

Matrix<float> samples(std::uint64_t seed, Index count) {
  vbp::Random random(seed);
  return gaussian(random, count * ToyNetwork::kRows, ToyNetwork::kWidth);
}

vbp::PruningPlan keep_first(Index first, Index second) {
  vbp::PruningPlan plan;
  for (const auto& [name, width, kept] :
       {std::tuple{"a", Index{48}, first}, std::tuple{"b", Index{40}, second}}) {
    plan.blocks.push_back({.name = name, .width = width});
    for (Index j = 0; j < kept; ++j) plan.blocks.back().kept.push_back(j);
  }
  return plan;
}

struct Refitted {
  ToyNetwork pruned;
  std::vector<vbp::SequentialStep> report;
};

Refitted refit(const vbp::PruningPlan& plan, const Matrix<float>& start,
               const vbp::SequentialOptions& options, int threads = 1) {
  ToyNetwork dense(1);
  Refitted result{ToyNetwork(1), {}};
  vbp::SequentialRefit<ToyNetwork> walk(dense, result.pruned, options, vbp::Context(threads));
  result.report = walk(plan, dense.observe(start), start);
  return result;
}

double error(ToyNetwork& network, const Matrix<float>& start) {
  ToyNetwork dense(1);
  return (network(start) - dense(start)).cast<double>().squaredNorm();
}

}  // namespace

TEST_CASE("a plan that prunes nothing leaves a network as it is", "[sequential]") {
  const Matrix<float> start = samples(1, 40);
  Refitted result = refit(keep_first(48, 40), start, {});
  CHECK(error(result.pruned, start) == 0.0);
  for (const vbp::SequentialStep& step : result.report) CHECK_FALSE(step.refitted);
}

TEST_CASE("no refitted layer does worse than the centre it was shrunk towards", "[sequential]") {
  const Matrix<float> start = samples(2, 60);
  for (const double shrinkage : {1e-6, 1e-2, 10.0}) {
    const Refitted result =
        refit(keep_first(12, 10), start, {.first_layer_steps = 0, .shrinkages = {shrinkage}, .held_out = 0});
    REQUIRE(result.report.size() == 4);
    for (const Index step : {0, 1, 3}) {
      const vbp::SequentialStep& entry = result.report[static_cast<std::size_t>(step)];
      CAPTURE(entry.name, shrinkage);
      CHECK(entry.refitted);
      CHECK(entry.shrinkage == shrinkage);
      // At the first step the centre is the optimum itself but for its own shrinkage, and rounding to float.
      CHECK(entry.after <= entry.before * (1.0 + 1e-5));
    }
    CHECK_FALSE(result.report[2].refitted);
    CHECK(result.report[2].kind == StepKind::transition);
  }
}

TEST_CASE("each further part of the refit lowers the error on samples not seen", "[sequential]") {
  const Matrix<float> start = samples(3, 400);
  const Matrix<float> unseen = samples(4, 200);
  const vbp::PruningPlan plan = keep_first(14, 12);
  ToyNetwork dense(1), per_block(1);
  vbp::refit_and_shrink_blocks(plan, dense.observe(start),
                               std::vector{&per_block.block(0), &per_block.block(3)});
  Refitted second = refit(plan, start, {.branches = false, .inputs = false, .first_layer_steps = 0});
  Refitted branches = refit(plan, start, {.inputs = false, .first_layer_steps = 0});
  Refitted all = refit(plan, start, {});
  const double errors[] = {error(per_block, unseen), error(second.pruned, unseen),
                           error(branches.pruned, unseen), error(all.pruned, unseen)};
  CAPTURE(errors[0], errors[1], errors[2], errors[3]);
  CHECK(errors[1] < 0.98 * errors[0]);
  CHECK(errors[2] < 0.99 * errors[1]);
  CHECK(errors[3] < 0.8 * errors[2]);
  CHECK(all.report[0].first_layer_steps > 0);
}

TEST_CASE("outputs of scale zero keep the per-block solution", "[sequential]") {
  const Matrix<float> start = samples(5, 60);
  const vbp::PruningPlan plan = keep_first(12, 10);
  ToyNetwork dense(1), per_block(1);
  vbp::refit_and_shrink_blocks(plan, dense.observe(start),
                               std::vector{&per_block.block(0), &per_block.block(3)});
  Refitted result = refit(plan, start, {.first_layer_steps = 0});
  CHECK(result.pruned.block(0).fc2_weight().row(1) == per_block.block(0).fc2_weight().row(1));
  CHECK(result.pruned.block(0).fc2_bias()(1) == per_block.block(0).fc2_bias()(1));
  CHECK(result.pruned.block(0).fc2_weight().row(0) != per_block.block(0).fc2_weight().row(0));
}

TEST_CASE("the number of threads changes no bit of a sequential refit", "[sequential]") {
  const Matrix<float> start = samples(6, 50);
  Refitted one = refit(keep_first(12, 10), start, {.batch = 7});
  Refitted three = refit(keep_first(12, 10), start, {.batch = 7}, 3);
  CHECK(one.pruned(start) == three.pruned(start));
}

TEST_CASE("streams in files change no bit of a sequential refit, and nothing stays behind", "[sequential]") {
  const vbp_test::TemporaryFolder folder;
  const Matrix<float> start = samples(6, 50);
  // The first plan cuts both blocks, so that the pruned stream goes through the transition as well.
  for (const auto& plan : {keep_first(12, 10), keep_first(48, 10)}) {
    Refitted memory = refit(plan, start, {.batch = 7});
    Refitted files = refit(plan, start, {.batch = 7, .folder = folder.path()});
    CHECK(memory.pruned(start) == files.pruned(start));
    CHECK(fs::is_empty(folder.path()));
  }
  // The first stream already.
  const fs::path missing = folder / "missing";
  ToyNetwork dense(1), pruned(1);
  vbp::SequentialRefit<ToyNetwork> walk(dense, pruned, {.folder = missing},
                                        vbp::Context({.threads = 1, .cancelled = [] { return true; }}));
  CHECK_THROWS_WITH(walk(keep_first(12, 10), dense.observe(start), start), Contains(missing.string()));
}

TEST_CASE("fewer samples than features, and minimum widths, are refitted too", "[sequential]") {
  const Matrix<float> start = samples(7, 5);
  Refitted result = refit(keep_first(20, 1), start, {});
  CHECK(result.pruned(start).allFinite());
  ToyNetwork none(1);
  vbp::shrink_blocks(keep_first(20, 1), std::vector{&none.block(0), &none.block(3)});
  CHECK(error(result.pruned, start) < error(none, start));
}

TEST_CASE("a sequential refit refuses what does not fit", "[sequential]") {
  ToyNetwork dense(1), pruned(1);
  const Matrix<float> start = samples(8, 10);
  const auto covariances = dense.observe(start);
  CHECK_THROWS_AS(vbp::SequentialRefit<ToyNetwork>(dense, pruned, {.shrinkages = {}}), vbp::ValueError);
  CHECK_THROWS_AS(vbp::SequentialRefit<ToyNetwork>(dense, pruned, {.thinning = 0}), vbp::ValueError);
  CHECK_THROWS_AS(vbp::SequentialRefit<ToyNetwork>(dense, pruned, {.held_out = 1}), vbp::ValueError);
  vbp::SequentialRefit<ToyNetwork> walk(dense, pruned);
  vbp::PruningPlan plan = keep_first(12, 10);
  CHECK_THROWS_AS(walk(plan, covariances, start.topRows(6)), vbp::ShapeError);
  CHECK_THROWS_AS(walk(plan, std::vector{covariances[0]}, start), vbp::ShapeError);
  plan.blocks.pop_back();
  CHECK_THROWS_AS(walk(plan, covariances, start), vbp::ShapeError);
  CHECK(pruned(start) == dense(start));
}

TEST_CASE("a sequential refit stops when it is asked to", "[sequential]") {
  ToyNetwork dense(1), pruned(1);
  const Matrix<float> start = samples(9, 10);
  std::vector<std::int64_t> reports;
  const auto progress = [&](const vbp::ProgressUpdate& update) {
    CHECK(update.task == "refitting");
    CHECK(update.unit == "steps");
    CHECK(update.total == 4);
    reports.push_back(update.done);
  };
  const auto after_two = [&] { return reports.back() == 2; };
  vbp::SequentialRefit<ToyNetwork> walk(
      dense, pruned, {}, vbp::Context({.threads = 1, .progress = progress, .cancelled = after_two}));
  CHECK_THROWS_AS(walk(keep_first(12, 10), dense.observe(start), start), vbp::Cancelled);
  CHECK(reports == std::vector<std::int64_t>{0, 1, 2});

  // In the middle of a step, which then does not count.
  ToyNetwork other(1);
  reports.clear();
  int batches = 0;
  const auto after_batches = [&] { return reports.back() == 1 && ++batches == 3; };
  vbp::SequentialRefit<ToyNetwork> walk_other(
      dense, other, {}, vbp::Context({.threads = 1, .progress = progress, .cancelled = after_batches}));
  CHECK_THROWS_AS(walk_other(keep_first(12, 10), dense.observe(start), start), vbp::Cancelled);
  CHECK(reports == std::vector<std::int64_t>{0, 1});
  CHECK(batches == 3);
}

TEST_CASE("a sequential refit reports each step", "[sequential]") {
  ToyNetwork dense(1), pruned(1);
  const Matrix<float> start = samples(9, 10);
  std::vector<std::int64_t> reports;
  const vbp::Context context(
      {.threads = 1, .progress = [&](const vbp::ProgressUpdate& update) { reports.push_back(update.done); }});
  vbp::SequentialRefit<ToyNetwork>(dense, pruned, {}, context)(keep_first(12, 10), dense.observe(start),
                                                               start);
  CHECK(reports == std::vector<std::int64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("one Gauss-Newton step solves a linear problem, of a part of the rows too", "[sequential]") {
  // With the identity for an activation, targets V (W* x + b*) + c are reached exactly but for the damping.
  vbp::Random random(10);
  const Matrix<double> w = gaussian(random, 5, 7).cast<double>(),
                       goal = gaussian(random, 5, 7).cast<double>();
  const Vector<double> b = gaussian(random, 5, 1).cast<double>(),
                       goal_b = gaussian(random, 5, 1).cast<double>();
  const vbp::LinearFit second{gaussian(random, 9, 5).cast<double>(), gaussian(random, 9, 1).cast<double>()};
  const Matrix<float> x = gaussian(random, 300, 7);
  const auto output = [&](const Matrix<double>& weight, const Vector<double>& bias) -> Matrix<double> {
    const Matrix<double> u = (x.cast<double>() * weight.transpose()).rowwise() + bias.transpose();
    return (u * second.weight.transpose()).rowwise() + second.bias.transpose();
  };
  const Matrix<float> targets = output(goal, goal_b).cast<float>();
  const double before = (output(w, b) - targets.cast<double>()).squaredNorm();
  for (const Index thinning : {1, 4}) {
    vbp::FirstLayerStep<float> step(w, b, second, thinning);
    vbp::kernels::Workspace<float> workspace(2);
    vbp::kernels::Workspace<double> solver(2);
    const auto identity = [](float*, Index) {};
    for (const Index first : {0, 150}) {
      const Matrix<float> part = x.middleRows(first, 150), part_targets = targets.middleRows(first, 150);
      step.add_gradient(part, part_targets, identity, workspace);
    }
    step.solve(solver);
    step.add_curvature(x, identity, workspace);
    const vbp::LinearFit moved = step.step();
    const double after = (output(moved.weight, moved.bias) - targets.cast<double>()).squaredNorm();
    CAPTURE(thinning, before, after);
    // A quarter of the rows tells the moments of seven inputs to about ten per cent.
    CHECK(after < (thinning == 1 ? 1e-2 : 0.1) * before);
  }
}

TEST_CASE("sensitivities tell how errors grow, and leave the network as it was", "[sequential]") {
  ToyNetwork network(1);
  const Matrix<float> start = samples(11, 60);
  const Matrix<float> before = network(start);
  const auto covariances = network.observe(start);
  std::vector<vbp::Ranking> rankings;
  for (const Index step : {0, 3}) {
    rankings.push_back(vbp::backward_elimination(covariances[rankings.size()].covariance(),
                                                 network.weight(step, 1).cast<double>()));
  }
  const std::vector<double> found = vbp::output_sensitivities(network, rankings, covariances, start);
  CHECK(network(start) == before);
  REQUIRE(found.size() == 2);
  // Nothing follows the last block: its error is the output's.
  CHECK(found[1] == Approx(1.0));
  CHECK(found[0] > 0.0);
  // By another way: the first block cut with the same neurons, run to the end.
  ToyNetwork cut(1);
  std::vector<Index> kept(rankings[0].order.begin() + 28, rankings[0].order.end());  // 0.6 of 48 go
  std::sort(kept.begin(), kept.end());
  vbp::PruningPlan plan{.blocks = {{.name = "a", .width = 48, .kept = kept}}};
  vbp::refit_and_shrink_blocks(plan, std::vector{covariances[0]}, std::vector{&cut.block(0)});
  Matrix<float> dense_local, cut_local;
  network.run(0, start, dense_local);
  cut.run(0, start, cut_local);
  const double expected = static_cast<double>((cut(start) - before).squaredNorm()) /
                          static_cast<double>((cut_local - dense_local).squaredNorm());
  CHECK(found[0] == Approx(expected).epsilon(1e-3));
  rankings.pop_back();
  CHECK_THROWS_AS(vbp::output_sensitivities(network, rankings, covariances, start), vbp::ShapeError);
}
