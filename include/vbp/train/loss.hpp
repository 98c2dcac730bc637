#pragma once
/// What training minimises: cross-entropy with label smoothing, and distillation from a teacher.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// What a student learns from its teacher: the teacher's distribution, or its most probable class as a label
/// (Touvron et al. 2021).
enum class TeacherTargets { soft, hard };

/// Direction of the Kullback-Leibler divergence. KL(teacher || student) (Hinton et al. 2015; PyTorch's
/// kl_div of the student's logarithms and the teacher's distribution) makes the student cover all that the
/// teacher allows, KL(student || teacher) makes it avoid what the teacher excludes. Where the two
/// distributions are close they agree to second order.
enum class Divergence { teacher_student, student_teacher };

/// loss = cross_entropy CE(targets) + distillation D, D = temperature^2 KL of the softmax of both logits
/// divided by the temperature, or, with hard targets, the cross-entropy of the teacher's class.
struct LossOptions {
  double cross_entropy = 1.0;  ///< alpha
  double distillation = 0.0;   ///< beta; above 0 needs a teacher
  double temperature = 2.0;
  TeacherTargets targets = TeacherTargets::soft;
  Divergence divergence = Divergence::teacher_student;

  /// Throws ValueError, naming the member, for a value out of its range.
  void validate() const {
    if (!(cross_entropy >= 0.0 && std::isfinite(cross_entropy)) ||
        !(distillation >= 0.0 && std::isfinite(distillation)) || cross_entropy + distillation == 0.0) {
      throw ValueError("the weights of cross-entropy and distillation must not be negative, nor both 0");
    }
    if (!(temperature > 0.0 && std::isfinite(temperature))) {
      throw ValueError("the temperature of distillation must be positive");
    }
  }
};

/// Targets [n, classes]: 1 - smoothing for the label, and smoothing / classes for every class (Szegedy et al.
/// 2016). Throws ValueError for a label or smoothing out of range.
template <class T>
void set_targets(const std::vector<Index>& labels, Index classes, double smoothing, Matrix<T>& targets) {
  if (!(smoothing >= 0.0 && smoothing < 1.0)) throw ValueError("label smoothing must lie in [0, 1)");
  targets.setConstant(static_cast<Index>(labels.size()), classes,
                      static_cast<T>(smoothing / static_cast<double>(classes)));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= classes) {
      throw ValueError("label " + std::to_string(labels[i]) + " of " + std::to_string(classes) + " classes");
    }
    targets(static_cast<Index>(i), labels[i]) += static_cast<T>(1.0 - smoothing);
  }
}

namespace detail {

/// out = log softmax(logits / temperature) of one row, in double.
template <class T>
void log_softmax(const T* logits, Index classes, double temperature, Vector<double>& out) {
  for (Index k = 0; k < classes; ++k) out[k] = static_cast<double>(logits[k]) / temperature;
  const double largest = out.maxCoeff();
  double sum = 0.0;
  for (Index k = 0; k < classes; ++k) sum += std::exp(out[k] - largest);
  out.array() -= largest + std::log(sum);
}

}  // namespace detail

/// The loss of logits [n, classes], averaged over the rows; targets are distributions. `teacher` is the
/// teacher's logits, empty without one. Sets d_logits, the gradient by the logits. Everything is summed in
/// double. Throws ShapeError if shapes differ.
template <class T>
double loss_and_gradient(const MatrixView<T>& logits, const MatrixView<T>& targets,
                         const MatrixView<T>& teacher, const LossOptions& options, Matrix<T>& d_logits) {
  const Index n = logits.rows();
  const Index classes = logits.cols();
  const bool distils = options.distillation > 0.0;
  if (n == 0 || targets.rows() != n || targets.cols() != classes ||
      (distils && (teacher.rows() != n || teacher.cols() != classes))) {
    throw ShapeError("logits, targets and the teacher's logits are not of one shape");
  }
  d_logits.resize(n, classes);
  Vector<double> student(classes), other(classes), gradient(classes);
  double loss = 0.0;
  for (Index i = 0; i < n; ++i) {
    detail::log_softmax(logits.row(i).data(), classes, 1.0, student);
    double target_sum = 0.0;
    double entropy = 0.0;
    for (Index k = 0; k < classes; ++k) {
      const auto target = static_cast<double>(targets(i, k));
      target_sum += target;
      entropy -= target * student[k];
    }
    loss += options.cross_entropy * entropy;
    for (Index k = 0; k < classes; ++k) {
      gradient[k] =
          options.cross_entropy * (target_sum * std::exp(student[k]) - static_cast<double>(targets(i, k)));
    }
    if (distils && options.targets == TeacherTargets::hard) {
      Index best = 0;
      teacher.row(i).maxCoeff(&best);
      loss -= options.distillation * student[best];
      for (Index k = 0; k < classes; ++k) gradient[k] += options.distillation * std::exp(student[k]);
      gradient[best] -= options.distillation;
    } else if (distils) {
      const double temperature = options.temperature;
      detail::log_softmax(logits.row(i).data(), classes, temperature, student);
      detail::log_softmax(teacher.row(i).data(), classes, temperature, other);
      const bool reverse = options.divergence == Divergence::student_teacher;
      double divergence = 0.0;
      for (Index k = 0; k < classes; ++k) {
        divergence += reverse ? std::exp(student[k]) * (student[k] - other[k])
                              : std::exp(other[k]) * (other[k] - student[k]);
      }
      loss += options.distillation * temperature * temperature * divergence;
      for (Index k = 0; k < classes; ++k) {
        const double slope = reverse ? std::exp(student[k]) * (student[k] - other[k] - divergence)
                                     : std::exp(student[k]) - std::exp(other[k]);
        gradient[k] += options.distillation * temperature * slope;
      }
    }
    for (Index k = 0; k < classes; ++k) d_logits(i, k) = static_cast<T>(gradient[k] / static_cast<double>(n));
  }
  return loss / static_cast<double>(n);
}

}  // namespace vbp::inline VBP_ABI
