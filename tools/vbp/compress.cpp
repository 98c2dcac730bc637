/// Rankings and compensated models: the one source file in which steps on the residual stream are compiled.

#include <algorithm>
#include <utility>

#include "method.hpp"
#include "network.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/compensate/sequential.hpp"
#include "vbp/prune/criteria/criteria.hpp"
#include "vbp/prune/criteria/greedy.hpp"
#include "vbp/prune/criteria/sensitivity.hpp"
#include "vbp/prune/criteria/snip.hpp"

namespace tool {

using vbp::Index;
using vbp::Matrix;
using vbp::Ranking;
using vbp::Vector;

namespace {

/// Images that sensitivities are measured with: their errors of a few percent move no width by much.
constexpr Index kSensitivityImages = 128;

}  // namespace

int Compressor::workers() const {
  const int threads = thread_count(run_);
  if (!calibration_.room.bytes) return threads;
  std::int64_t kept = 0;
  for (const auto& covariance : calibration_.calibration.covariances)
    kept += vbp::Covariance<float>::bytes(covariance.features());
  const auto widths = facts_of(dense_.model).hidden_widths;
  const std::int64_t each = vbp::step_bytes(*std::max_element(widths.begin(), widths.end()), 0);
  const std::int64_t room = (static_cast<std::int64_t>(*calibration_.room.bytes) - kept) / each;
  return static_cast<int>(std::clamp<std::int64_t>(room, 1, threads));
}

std::vector<Ranking> Compressor::rank(const std::string& criterion, double rate) {
  const auto& calibration = calibration_.calibration;
  const auto& names = calibration.names;
  if (criterion == "variance") return vbp::rankings_of(vbp::variance_scores(calibration.statistics, names));
  if (criterion == "magnitude") return vbp::rankings_of(vbp::magnitude_scores(mlps_of(dense_.model)));
  if (criterion == "random")
    return vbp::rankings_of(vbp::random_scores(facts_of(dense_.model).hidden_widths, 1));
  if (criterion == "snip") {
    if (calibration_.gradient.empty())
      throw vbp::ValueError("the criterion snip needs gradients of labelled images");
    return vbp::rankings_of(vbp::snip_scores(mlps_of(dense_.model), calibration_.gradient));
  }
  vbp::ThreadPool pool(workers());
  const auto count = static_cast<Index>(names.size());
  if (criterion == "output-variance" || criterion == "dvbp") {
    vbp::Scores scores(names.size());
    pool.parallel_for(count, [&](Index i) {
      const auto b = static_cast<std::size_t>(i);
      scores[b] = criterion == "dvbp"
                      ? vbp::denoised_scores(calibration_.covariance(b).covariance(),
                                             static_cast<std::int64_t>(calibration.images.size()), rate)
                      : vbp::output_variance_scores(calibration.statistics[b].variance(),
                                                    landing_weight(dense_.model, b));
    });
    return vbp::rankings_of(scores);
  }
  std::vector<Ranking> rankings(names.size());
  pool.parallel_for(count, [&](Index i) {
    const auto b = static_cast<std::size_t>(i);
    const Matrix<double> covariance = calibration_.covariance(b).covariance();
    const Matrix<double> weight = landing_weight(dense_.model, b);
    rankings[b] = criterion == "greedy" ? vbp::backward_elimination(covariance, weight)
                                        : vbp::cluster_ranking(covariance, weight);
  });
  const std::vector<double> weights = sensitivities(rankings);
  return vbp::weighted(std::move(rankings), weights);
}

std::vector<double> Compressor::sensitivities(const std::vector<Ranking>& rankings) {
  const vbp::StoredMatrix<float>& start = calibration_.start;
  if (start.rows() > 0) {
    Model model = dense_.model;
    Network network(model, run_.threads);
    const Index rows = network.rows_per_sample(0);
    const Index images = start.rows() / rows;
    const Index used = std::min(images, kSensitivityImages);
    Matrix<float> some(used * rows, start.cols());
    for (Index i = 0; i < used; ++i) {
      some.middleRows(i * rows, rows) = start.middleRows(i * images / used * rows, rows);
    }
    return vbp::output_sensitivities(network, rankings, calibration_.covariances(), some);
  }
  // Without images the variance of the residual stream stands in: what the blocks so far have added to it.
  std::vector<double> weights;
  double stream = 0.0;
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    const Matrix<double> weight = landing_weight(dense_.model, b);
    stream += (weight * calibration_.covariance(b).covariance()).cwiseProduct(weight).sum();
    weights.push_back(stream > 0.0 ? 1.0 / stream : 0.0);
  }
  return weights;
}

Compensated Compressor::apply(const vbp::PruningPlan& plan, const std::string& compensation) {
  const auto& calibration = calibration_.calibration;
  Compensated result{.checkpoint = dense_};
  Model& model = result.checkpoint.model;
  const auto mlps = mlps_of(model);
  if (compensation == "none") {
    vbp::shrink_blocks(plan, mlps);
  } else if (compensation == "mean-shift") {
    vbp::fold_and_shrink_blocks(plan, calibration.statistics, mlps);
  } else if (compensation == "refit") {
    const auto errors = vbp::refit_and_shrink_blocks(plan, calibration_.covariances(), mlps);
    for (std::size_t b = 0; b < errors.size(); ++b) {
      result.steps.push_back({{"name", plan.blocks[b].name},
                              {"error_mean_shift", errors[b].mean_shift / errors[b].variance},
                              {"error_refit", errors[b].refit / errors[b].variance}});
    }
  } else {
    vbp::SequentialOptions options{.batch = run_.batch, .folder = calibration_.start.folder()};
    options.branches = compensation != "sequential";
    if (compensation != "sequential-all") {
      options.inputs = false;
      options.first_layer_steps = 0;
    }
    Model twin = dense_.model;
    Network dense(twin, run_.threads);
    Network pruned(model, run_.threads);
    vbp::SequentialRefit<Network> refit(dense, pruned, options);
    ProgressBar bar("refitting", "steps");
    const auto& start = calibration_.start;
    const auto steps = refit(plan, calibration_.covariances(), start.middleRows(0, start.rows()),
                             [&](std::int64_t done, std::int64_t total) {
                               bar.show(done, total);
                               return !interrupted();
                             });
    if (interrupted()) throw Interrupted("interrupted; nothing was written");
    for (const vbp::SequentialStep& step : steps) {
      if (!step.refitted) continue;
      result.steps.push_back({{"name", step.name},
                              {"error_before", step.before},
                              {"error_after", step.after},
                              {"shrinkage", step.shrinkage},
                              {"first_layer_steps", step.first_layer_steps}});
    }
  }
  update_widths(model);
  return result;
}

}  // namespace tool
