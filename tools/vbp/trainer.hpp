#pragma once
/// Training of a model of any family.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "model.hpp"
#include "vbp/train/trainer.hpp"

namespace tool {

/// vbp::Trainer of a model's family; trainer.cpp alone compiles them.
class Trainer {
 public:
  virtual ~Trainer() = default;

  virtual bool step(const std::function<bool(vbp::TrainingBatch&)>& next, vbp::TrainingStep& done) = 0;
  virtual void end_epoch() = 0;
  virtual vbp::TrainingProgress& progress() = 0;
  /// The weights to be used.
  virtual Model model() const = 0;
  virtual vbp::Index bytes() const = 0;
  virtual void save(const std::filesystem::path& path, vbp::io::Metadata metadata) = 0;
  virtual vbp::io::Metadata restore(const std::filesystem::path& path) = 0;
};

/// The teacher, where there is one, is of the student's family.
std::unique_ptr<Trainer> make_trainer(const Model& student, const Model* teacher,
                                      const vbp::TrainingOptions& options, vbp::Index images);

/// Bytes of activations of a batch.
vbp::Index activation_bytes(const Model& model, vbp::Index images, bool recompute);

/// The weights that training begins with, in a model of which the configuration alone is there. `layer_scale`
/// is what layer scales begin with, where it is not to be the family's own value.
void initialise(Model& model, std::uint64_t seed, std::optional<double> layer_scale);

/// vbp::MeanGradient of a model's family.
class MeanGradient {
 public:
  virtual ~MeanGradient() = default;

  virtual void observe(const vbp::MatrixView<float>& images, const std::vector<vbp::Index>& labels) = 0;
  /// By the MLP of each block, in order.
  virtual std::vector<vbp::Mlp<double>> mlps() const = 0;
};

std::unique_ptr<MeanGradient> make_mean_gradient(const Model& model, int threads);

}  // namespace tool
