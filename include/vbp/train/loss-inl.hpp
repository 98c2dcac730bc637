#pragma once
/// Bodies of loss.hpp.

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/train/loss.hpp"

namespace vbp::inline VBP_ABI {

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

/// The rows that the loss of one image is computed in, [classes] each.
struct LossRows {
  Vector<double> student, other, gradient;

  explicit LossRows(Index classes) : student(classes), other(classes), gradient(classes) {}
};

/// The weighted cross-entropy of one row; sets rows.gradient.
template <class T>
double add_cross_entropy(const T* logits, const T* targets, Index classes, const LossOptions& options,
                         LossRows& rows) {
  log_softmax(logits, classes, 1.0, rows.student);
  double target_sum = 0.0;
  double entropy = 0.0;
  for (Index k = 0; k < classes; ++k) {
    const auto target = static_cast<double>(targets[k]);
    target_sum += target;
    entropy -= target * rows.student[k];
  }
  for (Index k = 0; k < classes; ++k) {
    rows.gradient[k] =
        options.cross_entropy * (target_sum * std::exp(rows.student[k]) - static_cast<double>(targets[k]));
  }
  return options.cross_entropy * entropy;
}

/// The weighted log probability of the teacher's class, which the loss loses; adds to rows.gradient. To be
/// called after add_cross_entropy, whose rows.student it reads.
template <class T>
double add_hard_distillation(const T* teacher, Index classes, const LossOptions& options, LossRows& rows) {
  Index best = 0;
  Eigen::Map<const Vector<T>>(teacher, classes).maxCoeff(&best);
  for (Index k = 0; k < classes; ++k) rows.gradient[k] += options.distillation * std::exp(rows.student[k]);
  rows.gradient[best] -= options.distillation;
  return options.distillation * rows.student[best];
}

/// The weighted divergence from the teacher's distribution; adds to rows.gradient.
template <class T>
double add_soft_distillation(const T* logits, const T* teacher, Index classes, const LossOptions& options,
                             LossRows& rows) {
  const double temperature = options.temperature;
  const Vector<double>& student = rows.student;
  const Vector<double>& other = rows.other;
  log_softmax(logits, classes, temperature, rows.student);
  log_softmax(teacher, classes, temperature, rows.other);
  const bool reverse = options.divergence == Divergence::student_teacher;
  double divergence = 0.0;
  for (Index k = 0; k < classes; ++k) {
    divergence += reverse ? std::exp(student[k]) * (student[k] - other[k])
                          : std::exp(other[k]) * (other[k] - student[k]);
  }
  for (Index k = 0; k < classes; ++k) {
    const double slope = reverse ? std::exp(student[k]) * (student[k] - other[k] - divergence)
                                 : std::exp(student[k]) - std::exp(other[k]);
    rows.gradient[k] += options.distillation * temperature * slope;
  }
  return options.distillation * temperature * temperature * divergence;
}

}  // namespace detail

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
  detail::LossRows rows(classes);
  double loss = 0.0;
  for (Index i = 0; i < n; ++i) {
    const T* const row = logits.row(i).data();
    loss += detail::add_cross_entropy(row, targets.row(i).data(), classes, options, rows);
    if (distils && options.targets == TeacherTargets::hard) {
      loss -= detail::add_hard_distillation(teacher.row(i).data(), classes, options, rows);
    } else if (distils) {
      loss += detail::add_soft_distillation(row, teacher.row(i).data(), classes, options, rows);
    }
    for (Index k = 0; k < classes; ++k) {
      d_logits(i, k) = static_cast<T>(rows.gradient[k] / static_cast<double>(n));
    }
  }
  return loss / static_cast<double>(n);
}

}  // namespace vbp::inline VBP_ABI
