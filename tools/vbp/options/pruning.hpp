#pragma once
/// Options of the subcommands that prune: what is known of the activations, how much goes, and how.

#include <optional>
#include <string>
#include <vector>

#include "options/common.hpp"
#include "vbp/pipeline/prune.hpp"
#include "vbp/prune/method.hpp"

namespace tool {

/// The names of all criteria and compensations, in the order of help texts.
std::vector<std::string> criterion_names();
std::vector<std::string> compensation_names();

/// --method, --criterion, --compensation.
struct MethodOptions {
  std::string method;
  std::string criterion;
  std::string compensation;

  void add_to(CLI::App& app);
  /// Puts what was asked for into the options.
  void apply_to(vbp::PruneOptions& options) const;
};

/// vbp::resolve_method, whose error says then which option gives the missing input.
vbp::Method method_of(const vbp::PruneOptions& options, const vbp::PruneInputs& inputs);

/// Where the hidden activations are known from: --calibrate with --limit, or --statistics.
struct CalibrationOptions {
  std::string calibrate;
  std::string statistics;
  std::optional<vbp::Index> limit;

  void add_to(CLI::App& app);
  /// Throws UsageError if neither is given.
  void require() const;
};

/// How much is pruned: --rate, --keep, --macs, --parameters or --latency, and what constrains it.
struct BudgetOptions {
  vbp::PruneOptions prune;
  std::string latency;  ///< a share of the dense model's latency, or milliseconds
  std::string scope = "global";

  void add_to(CLI::App& app);
  /// The options as the library takes them. Throws UsageError if nothing is asked for, and ValueError for
  /// options that make no sense for any network.
  vbp::PruneOptions checked() const;

 private:
  void add_latency_to(CLI::App& app, CLI::Option* limit);
  void add_constraints_to(CLI::App& app, CLI::Option* limit);
};

}  // namespace tool
