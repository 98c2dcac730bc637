#pragma once
/// What the subcommands share: options, the model, and the two loops over images.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "model.hpp"
#include "vbp/core/stored_matrix.hpp"
#include "vbp/io/calibration_file.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/image_folder.hpp"
#include "vbp/io/image_stream.hpp"
#include "vbp/stats/stored_covariance.hpp"

namespace tool {

using Json = nlohmann::ordered_json;

/// Options that do not go together; exit code 2, as for all that the command line itself says wrongly.
class UsageError : public vbp::Error {
 public:
  using vbp::Error::Error;
};

/// The work was stopped by SIGINT or SIGTERM; main turns it into exit code 130.
class Interrupted : public vbp::Error {
 public:
  using vbp::Error::Error;
};

/// Options of every subcommand that reads a model.
struct ModelOptions {
  std::string file;
  std::vector<std::string> settings;
  std::optional<vbp::Index> image_size;

  void add_to(CLI::App& app);
  /// All but the file.
  void add_settings_to(CLI::App& app);
};

/// Options of every subcommand that runs a model.
struct RunOptions {
  int threads = 0;
  vbp::Index batch = 32;
  bool strict = false;

  void add_to(CLI::App& app);
  /// All but what is about reading images.
  void add_size_to(CLI::App& app);
};

/// For file names: an empty one is a variable of a script that was never set, not a wish for nothing.
extern const CLI::Validator not_empty;
/// Whole numbers from `least` to `most`, in digits.
CLI::Validator whole_number(vbp::Index least, vbp::Index most = std::numeric_limits<vbp::Index>::max());

/// The threads that the options come to on this machine.
int thread_count(const RunOptions& options);

/// --json FILE.
struct JsonOption {
  std::string file;

  void add_to(CLI::App& app);
  /// Writes the report where one is asked for.
  void write(const Json& report) const;
};

/// KEY=VALUE texts as --set takes them. Throws ValueError for one that is none.
std::map<std::string, std::string> parse_settings(const std::vector<std::string>& settings);

/// Loads the model with what the command line says about it. Throws vbp::Error.
Checkpoint load(const ModelOptions& options);

/// The files that loading this model reads.
std::vector<std::filesystem::path> files_of(const ModelOptions& options);

/// The folder of a file that need not exist yet.
std::filesystem::path folder_of(const std::filesystem::path& file);

/// Whether two names are of the same file, which need not exist yet.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b);

/// The files that a subcommand is to write, of `option` and of --json; an empty name is none. What can be
/// told before the work is: throws FileError unless each can be created where it shall be and they are not
/// the same file.
void require_writable(const std::filesystem::path& out, const std::filesystem::path& json,
                      const std::string& option = "--out");

/// Throws FileError if one of the files to write is one of those that are read.
void require_not_read(const std::vector<std::filesystem::path>& outputs,
                      const std::vector<std::filesystem::path>& inputs);

/// Puts the product and, where one is asked for, the report in place: both or, on an error, neither.
void commit(vbp::io::AtomicFile& product, const JsonOption& json, const Json& report);

/// Whether SIGINT or SIGTERM has come since the program started.
bool interrupted() noexcept;
void set_signals();

/// A bar on stderr where that is a terminal, nothing elsewhere. It counts `units` (the plural of a word);
/// `begun` of them were done before it was made, and count for nothing in the rate.
class ProgressBar {
 public:
  explicit ProgressBar(std::string title, std::string units = "images", std::int64_t begun = 0);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void show(std::int64_t done, std::int64_t total, const std::string& note = "");

 private:
  std::string title_, units_;
  std::int64_t begun_;
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point begin_, last_;
};

/// Images that were left out of a run, and why.
struct Skipped {
  std::vector<vbp::io::ImageFailure> failures;
  std::vector<std::filesystem::path> duplicates;
};

/// Prints them to stderr, one line each, and adds them to the report.
void report_failures(const std::vector<vbp::io::ImageFailure>& failures, Json& report);
void report_duplicates(const std::vector<std::filesystem::path>& duplicates, Json& report);

/// The line on stdout that counts them; nothing where there are none.
std::string left_out(std::size_t images);

struct Evaluation {
  vbp::Index images = 0;
  vbp::Index correct = 0;
  vbp::Index correct5 = 0;
  vbp::Index classes = 0;
  double seconds = 0.0;
  std::string hits;  ///< a letter an image, in their order: 1 where its class has the largest score, else 0
  std::vector<vbp::io::ImageFailure> failures;

  double top1() const { return static_cast<double>(correct) / static_cast<double>(images); }
  double top5() const { return static_cast<double>(correct5) / static_cast<double>(images); }
  double images_per_second() const { return static_cast<double>(images) / seconds; }
  /// Adds top1, top5 (from ten classes up), images and images_per_second.
  void add_to(Json& report) const;
};

/// The hash of each image file's content; nothing where it cannot be read, which those who decode it report.
using Contents = std::vector<std::optional<std::string>>;
Contents contents_of(const std::vector<vbp::io::ImageEntry>& images);

/// The same to be looked up in, and with the labels as one hash.
std::unordered_set<std::string> set_of(const Contents& contents);
std::string digest_of(const std::vector<vbp::io::ImageEntry>& images, const Contents& contents);

/// Throws FileError if an evaluation image is among the calibration images, told by content.
void require_disjoint(const std::vector<vbp::io::ImageEntry>& evaluation, const Contents& contents,
                      const std::unordered_set<std::string>& calibration);

/// The paths of images, for require_not_read.
std::vector<std::filesystem::path> paths_of(const std::vector<vbp::io::ImageEntry>& images);

/// The labelled images of a folder, `limit` of them where one is given.
std::vector<vbp::io::ImageEntry> evaluation_images(const Checkpoint& checkpoint,
                                                   const std::filesystem::path& folder,
                                                   std::optional<vbp::Index> limit);

/// The images of a folder to calibrate on, `limit` of them where one is given. Throws FileError if one of
/// them is to be evaluated on. With the labels of `labels_of`'s classes where that is given.
std::vector<vbp::io::ImageEntry> calibration_images(const std::filesystem::path& folder,
                                                    std::optional<vbp::Index> limit,
                                                    const std::vector<vbp::io::ImageEntry>& evaluation,
                                                    const Checkpoint* labels_of = nullptr);

Evaluation evaluate(const Checkpoint& checkpoint, const std::vector<vbp::io::ImageEntry>& images,
                    const RunOptions& options, const std::string& title);

/// Milliseconds of a forward pass.
struct Latency {
  double minimum = 0.0;
  double median = 0.0;

  Json json() const { return {{"min", minimum}, {"median", median}}; }
};

/// Of several runs, whose times it sorts.
Latency latency_of(std::vector<double>& milliseconds);

/// Images to measure on: what the pixels are changes no time.
vbp::Matrix<float> random_images(vbp::Index count, vbp::Index elements);

/// Of two models that ran in turn.
struct Comparison {
  Latency dense;
  Latency pruned;
  /// The median of pruned over dense, turn by turn: what disturbs the machine or changes its speed for longer
  /// than a turn is in both.
  double ratio = 1.0;
};

/// What a ratio may take that something is made to depend on.
constexpr std::chrono::seconds kThorough(10);

/// Both models in turn on `batch` images until the ratio is known to 1 % or the time is over, but five turns.
Comparison measure(const Model& dense, const Model& pruned, const RunOptions& options, vbp::Index batch = 1,
                   std::chrono::seconds most = std::chrono::seconds(1));

/// --memory: what may stay in memory of what grows with the model's blocks and with the images.
struct Room {
  std::optional<std::uint64_t> bytes;
  /// Where the rest goes, in files without a name.
  std::filesystem::path folder = ".";

  CLI::Option* add_to(CLI::App& app);
};

struct CalibrationRun {
  vbp::io::Calibration calibration;
  /// Covariances that have no place in memory; those of `calibration` are missing then.
  std::vector<vbp::StoredCovariance> stored = {};
  Room room = {};
  int passes = 1;         ///< how often the images were gone over
  vbp::Index images = 0;  ///< seen in this run, without those of a calibration that was continued
  double seconds = 0.0;
  bool complete = true;
  Skipped skipped;
  /// The residual stream of the images that enters the first block, where it was asked for.
  vbp::StoredMatrix<float> start = {};
  /// Of the mean cross-entropy of the images' labels by each block's MLP, where it was asked for.
  std::vector<vbp::Mlp<double>> gradient = {};

  /// Of a block; read from its file where it is in one.
  vbp::Covariance<float> covariance(std::size_t block) const {
    return stored.empty() ? calibration.covariances[block] : stored[block].load();
  }
  bool has_covariances() const { return !stored.empty() || !calibration.covariances.empty(); }
  /// As of a calibration that holds them all.
  std::string moments() const { return vbp::io::moments_name(has_covariances()); }
  /// What --memory came to.
  Json memory() const;
  /// All of them, each read when it is looked at.
  class Covariances {
   public:
    class Iterator {
     public:
      using iterator_concept = std::forward_iterator_tag;
      using difference_type = std::ptrdiff_t;
      using value_type = vbp::Covariance<float>;

      Iterator() = default;
      Iterator(const CalibrationRun& run, std::size_t block) : run_(&run), block_(block) {}
      value_type operator*() const { return run_->covariance(block_); }
      Iterator& operator++() {
        ++block_;
        return *this;
      }
      Iterator operator++(int) { return {*run_, block_++}; }
      bool operator==(const Iterator&) const = default;

     private:
      const CalibrationRun* run_ = nullptr;
      std::size_t block_ = 0;
    };

    explicit Covariances(const CalibrationRun& run) : run_(run) {}
    Iterator begin() const { return {run_, 0}; }
    Iterator end() const { return {run_, run_.calibration.names.size()}; }

   private:
    const CalibrationRun& run_;
  };
  Covariances covariances() const { return Covariances(*this); }
};

/// What a calibration gathers beyond means and variances.
struct Gather {
  bool covariances = false;
  bool start = false;     ///< CalibrationRun::start, for refits, whose work needs room too
  bool gradient = false;  ///< CalibrationRun::gradient; the images must have labels
  Room room = {};         ///< for covariances and for what is to be done with them
};

/// Observes the images; continues `begun` where one is given. Stops after a whole batch when interrupted, so
/// that a resumed run ends with the same bits as an unbroken one. Where not all covariances have room it goes
/// over the images again for each group of blocks that have; the bits are the same, but one that is
/// interrupted then is of no use.
CalibrationRun calibrate(const Checkpoint& checkpoint, std::vector<vbp::io::ImageEntry> images,
                         const RunOptions& options, const Gather& gather = {},
                         std::optional<CalibrationRun> begun = std::nullopt);

/// A calibration file as if it had just been gathered; where room is limited its covariances are put aside
/// one by one. Throws FileError for one of another model or preprocessing.
CalibrationRun load_calibration(const Checkpoint& checkpoint, const std::string& file,
                                const Gather& gather = {});

/// 22,050,664 for people.
std::string grouped(std::int64_t number);
/// 4.60 G, 22.05 M.
std::string scaled(double number);
/// -30.4 %.
std::string change(double before, double after);
std::string fixed(double value, int digits);

/// A text from a file, or its name, as a terminal may see it: on one line, and without control characters,
/// which could do anything to the screen.
std::string printable(const std::string& text);

/// A table on stdout: the first `text_columns` columns left, the others right; rows as they come.
class Table {
 public:
  explicit Table(std::vector<std::string> header, std::size_t text_columns = 1)
      : text_columns_(text_columns) {
    add(std::move(header));
  }
  void add(std::vector<std::string> row);
  void print() const;

 private:
  std::size_t text_columns_;
  std::vector<std::vector<std::string>> rows_;
};

void add_info(CLI::App& app);
void add_eval(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_merge(CLI::App& app);
void add_prune(CLI::App& app);
void add_sweep(CLI::App& app);
void add_explain(CLI::App& app);
void add_finetune(CLI::App& app);
void add_train(CLI::App& app);
void add_bench(CLI::App& app);
void add_export(CLI::App& app);
/// Chooses the kernels: the best, or those of --arch or VBP_ARCH; vbp info --machine shows them.
void add_machine(CLI::App& app);

}  // namespace tool
