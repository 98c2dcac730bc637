#include "method.hpp"

#include <algorithm>
#include <cmath>

namespace tool {

using vbp::Index;

const std::vector<std::string> criteria = {"variance", "output-variance", "dvbp", "greedy",
                                           "clusters", "magnitude",       "snip", "random"};
const std::vector<std::string> compensations = {"none",       "mean-shift",           "refit",
                                                "sequential", "sequential-attention", "sequential-all"};

namespace {

const std::map<std::string, Method> named = {
    {"vbp", {"variance", "mean-shift"}}, {"ob2c", {"variance", "refit"}}, {"dvbp+ob2c", {"dvbp", "refit"}}};

bool sequential(const std::string& compensation) {
  return compensation.starts_with("sequential");
}

}  // namespace

std::string Method::name() const {
  for (const auto& [name, method] : named) {
    if (method == *this) return name;
  }
  return criterion + " + " + compensation;
}

bool Method::needs_covariance() const {
  return criterion == "dvbp" || criterion == "greedy" || criterion == "clusters" || compensation == "refit" ||
         needs_images();
}

bool Method::needs_images() const {
  return sequential(compensation);
}

bool Method::needs_labels() const {
  return criterion == "snip";
}

void MethodOptions::add_to(CLI::App& app) {
  const auto by_name = app.add_option("--method", method,
                                      "vbp: the paper's; ob2c: its choice, kept weights refitted; dvbp+ob2c: "
                                      "the successor as published; default: the best that the inputs allow");
  by_name->check(CLI::IsMember({"vbp", "ob2c", "dvbp+ob2c"}));
  app.add_option("--criterion", criterion, "how neurons are chosen")
      ->check(CLI::IsMember(criteria))
      ->excludes(by_name);
  app.add_option("--compensation", compensation, "how those that stay make up for the others")
      ->check(CLI::IsMember(compensations))
      ->excludes(by_name);
}

void CalibrationOptions::add_to(CLI::App& app) {
  const auto folder = app.add_option(
      "--calibrate", calibrate,
      "folder of calibration images; labels, one sub-folder a class, only for the criterion snip");
  folder->check(not_empty)->type_name("DIR");
  app.add_option("--statistics", statistics, "a calibration file of vbp calibrate or merge")
      ->check(not_empty)
      ->type_name("FILE")
      ->excludes(folder);
  app.add_option("--limit", limit,
                 "calibrate on N images, spread evenly over the sub-folders, the first of each")
      ->check(whole_number(1))
      ->type_name("N")
      ->needs(folder);
}

void CalibrationOptions::require() const {
  if (calibrate.empty() && statistics.empty()) {
    throw UsageError("one of --calibrate and --statistics is required");
  }
}

Method MethodOptions::resolve(bool images, bool covariances) const {
  Method result;
  if (!method.empty()) {
    result = named.at(method);
  } else {
    result.criterion = !criterion.empty() ? criterion : covariances ? "greedy" : "variance";
    result.compensation = !compensation.empty() ? compensation
                          : images              ? "sequential-all"
                          : covariances         ? "refit"
                                                : "mean-shift";
  }
  if (result.needs_labels() && !images) {
    throw vbp::ValueError("the criterion " + result.criterion +
                          " needs the gradients of labelled images: give --calibrate DIR, one sub-folder a "
                          "class, instead of --statistics");
  }
  if (result.needs_images() && !images) {
    throw vbp::ValueError("the compensation " + result.compensation +
                          " walks the calibration images: give --calibrate DIR instead of --statistics");
  }
  if (result.needs_covariance() && !covariances) {
    throw vbp::ValueError("the method " + result.name() +
                          " needs covariances: give --calibrate DIR, or statistics made with --covariance");
  }
  return result;
}

Budgeted Compressor::plan(const std::string& criterion, const Budget& budget) {
  const vbp::PruningPlan even = budget.even_plan();
  const double rate = static_cast<double>(even.requested) / static_cast<double>(even.total());
  return budget.plan(rankings(criterion, rate));
}

const std::vector<vbp::Ranking>& Compressor::rankings(const std::string& criterion, double rate) {
  // DVBP's scores are the only ones that depend on the rate.
  const std::string key = criterion == "dvbp" ? criterion + std::to_string(rate) : criterion;
  auto found = rankings_.find(key);
  if (found == rankings_.end()) found = rankings_.emplace(key, rank(criterion, rate)).first;
  return found->second;
}

}  // namespace tool
