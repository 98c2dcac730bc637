#include "vbp/train/loss.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/core/error.hpp"

namespace {

using vbp::Divergence;
using vbp::Index;
using vbp::LossOptions;
using vbp::Matrix;
using vbp::TeacherTargets;
using vbp_test::gaussian;

Matrix<double> softmax(const Matrix<double>& logits, double temperature) {
  Matrix<double> result = (logits / temperature).array().exp();
  for (Index i = 0; i < result.rows(); ++i) result.row(i) /= result.row(i).sum();
  return result;
}

/// KL(p || q), the mean over the rows, by the definition.
double divergence(const Matrix<double>& p, const Matrix<double>& q) {
  return (p.array() * (p.array() / q.array()).log()).sum() / static_cast<double>(p.rows());
}

double loss_of(const Matrix<double>& logits, const Matrix<double>& targets, const Matrix<double>& teacher,
               const LossOptions& options) {
  Matrix<double> ignored;
  return vbp::loss_and_gradient<double>(logits, targets, teacher, options, ignored);
}

}  // namespace

TEST_CASE("smoothed targets are distributions") {
  Matrix<double> targets;
  vbp::set_targets<double>({2, 0}, 4, 0.2, targets);
  CHECK(targets.rows() == 2);
  CHECK(targets(0, 2) == Approx(0.85));
  CHECK(targets(0, 1) == Approx(0.05));
  CHECK(targets(1, 0) == Approx(0.85));
  CHECK(targets.row(0).sum() == Approx(1.0));
  CHECK_THROWS_AS(vbp::set_targets<double>({4}, 4, 0.0, targets), vbp::ValueError);
  CHECK_THROWS_AS(vbp::set_targets<double>({-1}, 4, 0.0, targets), vbp::ValueError);
  CHECK_THROWS_AS(vbp::set_targets<double>({0}, 4, 1.0, targets), vbp::ValueError);
  CHECK_THROWS_AS(vbp::set_targets<double>({0}, 4, NAN, targets), vbp::ValueError);
}

TEST_CASE("losses are those of their definitions") {
  const Matrix<double> logits = gaussian<double>(1, 6, 5);
  const Matrix<double> teacher = 2.0 * gaussian<double>(2, 6, 5);
  Matrix<double> targets;
  vbp::set_targets<double>({0, 1, 2, 3, 4, 0}, 5, 0.1, targets);
  const double entropy = -(targets.array() * softmax(logits, 1.0).array().log()).sum() / 6.0;
  CHECK(loss_of(logits, targets, {}, {}) == Approx(entropy).epsilon(1e-12));
  const auto p = softmax(logits, 3.0), q = softmax(teacher, 3.0);
  LossOptions options{.cross_entropy = 0.7, .distillation = 0.3, .temperature = 3.0};
  CHECK(loss_of(logits, targets, teacher, options) ==
        Approx(0.7 * entropy + 0.3 * 9.0 * divergence(q, p)).epsilon(1e-12));
  options.divergence = Divergence::student_teacher;
  CHECK(loss_of(logits, targets, teacher, options) ==
        Approx(0.7 * entropy + 0.3 * 9.0 * divergence(p, q)).epsilon(1e-12));
  options.targets = TeacherTargets::hard;
  double hard = 0.0;
  for (Index i = 0; i < 6; ++i) {
    Index best = 0;
    teacher.row(i).maxCoeff(&best);
    hard -= std::log(softmax(logits, 1.0)(i, best)) / 6.0;
  }
  CHECK(loss_of(logits, targets, teacher, options) == Approx(0.7 * entropy + 0.3 * hard).epsilon(1e-12));
}

TEST_CASE("the gradient of every loss is that of finite differences") {
  const Matrix<double> teacher = 2.0 * gaussian<double>(3, 3, 4);
  Matrix<double> targets;
  vbp::set_targets<double>({0, 3, 1}, 4, 0.1, targets);
  std::vector<LossOptions> all{{}, {.cross_entropy = 2.0}};
  for (const auto kind : {TeacherTargets::soft, TeacherTargets::hard}) {
    for (const auto direction : {Divergence::student_teacher, Divergence::teacher_student}) {
      for (const double temperature : {1.0, 2.5}) all.push_back({0.7, 0.3, temperature, kind, direction});
    }
  }
  all.push_back({.cross_entropy = 0.0, .distillation = 1.0});
  for (const LossOptions& options : all) {
    Matrix<double> logits = gaussian<double>(4, 3, 4);
    Matrix<double> gradient;
    vbp::loss_and_gradient<double>(logits, targets, teacher, options, gradient);
    for (Index i = 0; i < logits.size(); ++i) {
      constexpr double h = 1e-5;
      const double at = logits.data()[i];
      logits.data()[i] = at + h;
      const double above = loss_of(logits, targets, teacher, options);
      logits.data()[i] = at - h;
      const double below = loss_of(logits, targets, teacher, options);
      logits.data()[i] = at;
      // h^2 / 6 of the third derivative, and 1e-15 / h of rounding.
      CHECK(gradient.data()[i] == Approx((above - below) / (2 * h)).margin(2e-9));
    }
  }
}

TEST_CASE("large logits neither overflow nor lose the loss") {
  Matrix<float> logits(1, 3), targets, gradient;
  logits << 1e4F, -1e4F, 0.0F;
  vbp::set_targets<float>({1}, 3, 0.0, targets);
  CHECK(vbp::loss_and_gradient<float>(logits, targets, Matrix<float>(), {}, gradient) == Approx(2e4));
  CHECK(gradient(0, 0) == 1.0F);
  CHECK(gradient(0, 1) == -1.0F);
}

TEST_CASE("losses refuse what does not fit") {
  const Matrix<double> logits = gaussian<double>(5, 2, 3);
  Matrix<double> gradient;
  const LossOptions distils{.distillation = 1.0};
  const auto loss = [&](const Matrix<double>& targets, const Matrix<double>& teacher,
                        const LossOptions& options) {
    return vbp::loss_and_gradient<double>(logits, targets, teacher, options, gradient);
  };
  CHECK_THROWS_AS(loss(Matrix<double>(2, 2), {}, {}), vbp::ShapeError);
  CHECK_THROWS_AS(loss(Matrix<double>(1, 3), {}, {}), vbp::ShapeError);
  CHECK_THROWS_AS(loss(logits, {}, distils), vbp::ShapeError);
  CHECK_THROWS_AS(loss(logits, Matrix<double>(2, 4), distils), vbp::ShapeError);
  for (const LossOptions& bad : {LossOptions{.cross_entropy = -1.0}, LossOptions{.cross_entropy = 0.0},
                                 LossOptions{.distillation = NAN}, LossOptions{.temperature = 0.0},
                                 LossOptions{.temperature = INFINITY}}) {
    CHECK_THROWS_AS(bad.validate(), vbp::ValueError);
  }
}
