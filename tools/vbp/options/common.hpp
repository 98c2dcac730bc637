#pragma once
/// Options that several subcommands have, and what is checked of them.

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/calibrate.hpp"

namespace tool {

using Json = nlohmann::ordered_json;

/// Options that do not go together: exit code 2, as for every error in the command line itself.
class UsageError : public vbp::Error {
 public:
  using vbp::Error::Error;
};

/// Something failed that was said already: exit code 1 without another word.
class ReportedFailure {};

/// For file names: an empty one comes from a script's variable that was never set.
extern const CLI::Validator not_empty;
/// Whole numbers from `least` to `most`, in digits.
CLI::Validator whole_number(vbp::Index least, vbp::Index most = std::numeric_limits<vbp::Index>::max());

/// --set and --image-size: what is said of a model beside its file.
struct ModelSettings {
  std::vector<std::string> settings;
  std::optional<vbp::Index> image_size;

  void add_to(CLI::App& app);
  /// Throws vbp::Error.
  vbp::AnyModel load(const std::string& file) const;
};

/// Options of every subcommand that reads one model.
struct ModelOptions {
  std::string file;
  ModelSettings settings;

  void add_to(CLI::App& app);
  /// Throws vbp::Error.
  vbp::AnyModel load() const { return settings.load(file); }
};

/// Options of every subcommand that runs a model.
struct RunOptions {
  int threads = 0;
  vbp::Index batch = 32;
  bool strict = false;

  void add_to(CLI::App& app);
  /// --threads and --batch alone.
  void add_size_to(CLI::App& app);
};

/// --json FILE.
struct JsonOption {
  std::string file;

  void add_to(CLI::App& app);
  /// Writes the report if one is asked for.
  void write(const Json& report) const;
};

/// --memory SIZE.
struct MemoryOption {
  std::optional<std::uint64_t> bytes;

  CLI::Option* add_to(CLI::App& app);
  /// The limit, with temporary files in the folder of `output`.
  vbp::MemoryLimit limit(const std::filesystem::path& output) const;
};

/// The map of KEY=VALUE texts as --set takes them. Throws ValueError for any other text.
std::map<std::string, std::string> parse_settings(const std::vector<std::string>& settings);

}  // namespace tool
