#include "vbp/train/trainer.hpp"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/gaussian.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/core/error.hpp"
#include "vbp/models/vit/backward.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/initialise.hpp"

namespace {

using vbp::Context;
using vbp::Index;
using vbp::Matrix;
using vbp::Trainer;
using vbp::TrainingBatch;
using vbp::TrainingOptions;
using vbp::TrainingStep;
using vbp_test::TemporaryFolder;

/// Random images of random classes, handed out in batches.
struct Data {
  Matrix<float> images;
  std::vector<Index> labels;

  Data(const vbp::VitConfig& config, Index count)
      : images(vbp_test::gaussian<float>(21, count, config.image_elements())) {
    for (Index i = 0; i < count; ++i) labels.push_back((i * 7 + i / 5) % config.classes);
  }

  /// Batches from `first` on.
  auto batches(Index size, Index first = 0) const {
    return [this, size, first](TrainingBatch& batch) mutable {
      const Index count = std::min<Index>(size, images.rows() - first);
      if (count <= 0) return false;
      batch.images = images.middleRows(first, count);
      batch.labels.assign(labels.begin() + first, labels.begin() + first + count);
      first += count;
      return true;
    };
  }
};

template <class Model>
void run_epoch(Trainer<Model>& trainer, const Data& data) {
  auto next = data.batches(trainer.options().batch);
  TrainingStep step;
  while (trainer.step(next, step)) {
  }
  trainer.end_epoch();
}

template <class Model>
vbp::io::Hash128 bits(const Trainer<Model>& trainer) {
  return vbp::fingerprint(trainer.model());
}

/// Everything that is random or kept on.
TrainingOptions busy_options() {
  return {.epochs = 2,
          .batch = 5,
          .learning_rate = 1e-2,
          .warmup_epochs = 0.5,
          .optimiser = {.layer_decay = 0.8, .clip_norm = 1.0},
          .loss = {.cross_entropy = 0.7, .distillation = 0.3},
          .label_smoothing = 0.1,
          .mixup = 0.5,
          .average = 0.9};
}

}  // namespace

TEST_CASE("training overfits 64 images") {
  auto config = vbp_test::tiny_config();
  config.dim = 32;
  config.heads = 4;
  config.hidden_widths = {64, 64};
  config.classes = 10;
  const Data data(config, 64);
  Trainer trainer(
      vbp::initialise_model<vbp::VisionTransformer<float>>(config, 1), nullptr,
      {.epochs = 400, .batch = 64, .learning_rate = 1e-2, .minimum_learning_rate = 1e-3, .warmup_epochs = 10},
      64, Context(2));
  TrainingStep step;
  for (int epoch = 0; epoch < 400; ++epoch) {
    auto next = data.batches(64);
    REQUIRE(trainer.step(next, step));
    // The heads begin at zero, so the first loss is that of ten equal classes.
    if (epoch == 0) CHECK(step.loss == Approx(std::log(10.0)).epsilon(1e-6));
    trainer.end_epoch();
  }
  CHECK(step.loss < 1e-3);
  CHECK(step.correct == 64);
}

TEST_CASE("training does not depend on threads or on what is kept, to the bit") {
  for (auto [name, config] : vbp_test::tiny_vits()) {
    if (config.classes == 0) continue;
    INFO(name);
    const Data data(config, 23);
    const auto student = vbp_test::draw_vit<float>(config, 31);
    const auto teacher = vbp_test::draw_vit<float>(config, 32);
    const auto train = [&](int threads, bool recompute) {
      TrainingOptions options = busy_options();
      options.recompute = recompute;
      Trainer trainer(student, &teacher, options, 23, Context(threads));
      for (int epoch = 0; epoch < 2; ++epoch) run_epoch(trainer, data);
      return bits(trainer);
    };
    const auto expected = train(1, false);
    CHECK(train(2, false) == expected);
    CHECK(train(5, false) == expected);
    CHECK(train(2, true) == expected);
  }
}

TEST_CASE("a run that was saved in an epoch and restored ends with the bits of an unbroken one") {
  const auto config = vbp_test::tiny_vits()[4].config;
  const Data data(config, 23);
  const auto student = vbp_test::draw_vit<float>(config, 33);
  const auto teacher = vbp_test::draw_vit<float>(config, 34);
  const TrainingOptions options = busy_options();
  Trainer unbroken(student, &teacher, options, 23, Context(1));
  for (int epoch = 0; epoch < 2; ++epoch) run_epoch(unbroken, data);

  const TemporaryFolder folder;
  vbp::TrainingProgress progress;
  {
    Trainer trainer(student, &teacher, options, 23, Context(1));
    run_epoch(trainer, data);
    auto next = data.batches(options.batch);
    TrainingStep step;
    for (int i = 0; i < 2; ++i) REQUIRE(trainer.step(next, step));
    trainer.progress().position = 10;
    progress = trainer.progress();
    trainer.save(folder / "state", {{"mine", "kept"}});
  }
  Trainer trainer(student, &teacher, options, 23, Context(1));
  CHECK(trainer.restore(folder / "state").at("mine") == "kept");
  CHECK(trainer.progress() == progress);
  CHECK(progress.epoch == 1);
  CHECK(progress.step == 2);
  CHECK(progress.images == 10);
  auto next = data.batches(options.batch, trainer.progress().position);
  TrainingStep step;
  while (trainer.step(next, step)) {
  }
  trainer.end_epoch();
  CHECK(bits(trainer) == bits(unbroken));
}

TEST_CASE("batches that are accumulated give the step of one large batch, beyond rounding") {
  const auto config = vbp_test::tiny_config();
  const Data data(config, 20);
  const auto student = vbp_test::draw_vit<float>(config, 35);
  const auto train = [&](Index batch, Index accumulate) {
    Trainer trainer(student, nullptr,
                    {.epochs = 1, .batch = batch, .accumulate = accumulate, .learning_rate = 1e-3}, 20,
                    Context(1));
    CHECK(trainer.steps_per_epoch() == (20 + batch * accumulate - 1) / (batch * accumulate));
    auto next = data.batches(batch);
    TrainingStep step;
    REQUIRE(trainer.step(next, step));
    CHECK(step.images == std::min<Index>(20, batch * accumulate));
    return std::pair(step.loss, step.gradient_norm);
  };
  const auto [loss, norm] = train(12, 1);
  const auto [parts_loss, parts_norm] = train(4, 3);
  CHECK(parts_loss == Approx(loss).epsilon(1e-6));
  CHECK(parts_norm == Approx(norm).epsilon(1e-5));
  // All 20 in one step: the last of three batches is smaller, and images count the same, not batches.
  const auto [all_loss, all_norm] = train(20, 1);
  const auto [uneven_loss, uneven_norm] = train(8, 3);
  CHECK(uneven_loss == Approx(all_loss).epsilon(1e-6));
  CHECK(uneven_norm == Approx(all_norm).epsilon(1e-5));
}

TEST_CASE("a loss that is not finite stops the run before any weight has changed") {
  const auto config = vbp_test::tiny_config();
  Data data(config, 6);
  data.images(4, 0) = NAN;
  Trainer trainer(vbp_test::draw_vit<float>(config, 36), nullptr, {.batch = 3}, 6, Context(1));
  auto next = data.batches(3);
  TrainingStep step;
  REQUIRE(trainer.step(next, step));
  const auto before = bits(trainer);
  CHECK_THROWS_WITH(trainer.step(next, step), Catch::Matchers::Contains("diverged: in epoch 1, step 2"));
  CHECK(bits(trainer) == before);
}

TEST_CASE("the moving average follows the weights") {
  const auto config = vbp_test::tiny_config();
  const Data data(config, 4);
  const auto student = vbp_test::draw_vit<float>(config, 37);
  const auto head_after_a_step = [&](double average) {
    Trainer trainer(student, nullptr, {.batch = 4, .learning_rate = 0.1, .average = average}, 4, Context(1));
    auto next = data.batches(4);
    TrainingStep step;
    REQUIRE(trainer.step(next, step));
    return trainer.model().head.weight(0, 0);
  };
  const float begin = student.head.weight(0, 0);
  const float end = head_after_a_step(0.0);
  REQUIRE(begin != end);
  CHECK(head_after_a_step(0.75) == Approx(begin + 0.25F * (end - begin)).epsilon(1e-5));
}

TEST_CASE("a trainer refuses what cannot be trained") {
  auto config = vbp_test::tiny_config();
  const auto model = vbp_test::draw_vit<float>(config, 38);
  const TrainingOptions distils{.loss = {.distillation = 1.0}};
  CHECK_THROWS_AS(Trainer(model, nullptr, distils, 5), vbp::ValueError);
  CHECK_THROWS_AS(Trainer(model, nullptr, {}, 0, Context(1)), vbp::ValueError);
  config.classes = 4;
  const auto other_classes = vbp_test::draw_vit<float>(config, 39);
  CHECK_THROWS_AS(Trainer(model, &other_classes, distils, 5), vbp::ShapeError);
  config.classes = 0;
  CHECK_THROWS_AS(Trainer(vbp_test::draw_vit<float>(config, 40), nullptr, {}, 5, Context(1)),
                  vbp::ValueError);
  for (const TrainingOptions& bad :
       {TrainingOptions{.epochs = 0}, TrainingOptions{.batch = 0}, TrainingOptions{.accumulate = 0},
        TrainingOptions{.learning_rate = -1.0}, TrainingOptions{.warmup_epochs = 11.0},
        TrainingOptions{.label_smoothing = 1.0}, TrainingOptions{.mixup = 1.5},
        TrainingOptions{.average = 1.0}}) {
    CHECK_THROWS_AS(Trainer(model, nullptr, bad, 5), vbp::ValueError);
  }
}

TEST_CASE("a state that does not fit is refused and changes nothing") {
  const auto config = vbp_test::tiny_config();
  const auto model = vbp_test::draw_vit<float>(config, 41);
  const TemporaryFolder folder;
  Trainer trainer(model, nullptr, {}, 5, Context(1));
  const auto before = bits(trainer);
  trainer.save(folder / "state", {});
  CHECK_NOTHROW(trainer.restore(folder / "state"));
  CHECK_THROWS_AS(trainer.restore(folder / "missing"), vbp::FileError);
  Trainer averaging(model, nullptr, {.average = 0.9}, 5, Context(1));
  CHECK_THROWS_AS(averaging.restore(folder / "state"), vbp::FileError);
  auto wider = config;
  wider.hidden_widths = {7, 6};
  Trainer other(vbp_test::draw_vit<float>(wider, 42), nullptr, {}, 5, Context(1));
  const auto other_before = bits(other);
  CHECK_THROWS_WITH(other.restore(folder / "state"),
                    Catch::Matchers::Contains("model.blocks.1.mlp.fc1.weight"));
  CHECK(bits(other) == other_before);
  // Any other safetensors file.
  vbp::io::SafetensorsWriter writer;
  writer.add("loss", vbp::Vector<double>(vbp::Vector<double>::Zero(1)));
  writer.write(folder / "other");
  CHECK_THROWS_AS(trainer.restore(folder / "other"), vbp::FileError);
  CHECK(bits(trainer) == before);
}

TEST_CASE("a cancelled Context stops training before any weight has changed") {
  const auto config = vbp_test::tiny_config();
  const Data data(config, 6);
  bool cancelled = false;
  const Context context(vbp::ContextOptions{.threads = 1, .cancelled = [&] { return cancelled; }});
  Trainer trainer(vbp_test::draw_vit<float>(config, 43), nullptr, {.batch = 3}, 6, context);
  auto next = data.batches(3);
  TrainingStep step;
  REQUIRE(trainer.step(next, step));
  const auto before = bits(trainer);
  cancelled = true;
  CHECK_THROWS_AS(trainer.step(next, step), vbp::Cancelled);
  CHECK(bits(trainer) == before);
}
