#pragma once
/// What training minimises: cross-entropy with label smoothing, and distillation from a teacher.

#include <cmath>
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

/// Targets [n, classes]: 1 - smoothing for the label, plus smoothing / classes for every class (Szegedy et
/// al. 2016). Throws ValueError for a label or smoothing out of range.
template <class T>
void set_targets(const std::vector<Index>& labels, Index classes, double smoothing, Matrix<T>& targets);

/// The loss of logits [n, classes], averaged over the rows; targets are distributions. `teacher` is the
/// teacher's logits, empty without one. Sets d_logits, the gradient by the logits. Everything is summed in
/// double. Throws ShapeError if shapes differ.
template <class T>
double loss_and_gradient(const MatrixView<T>& logits, const MatrixView<T>& targets,
                         const MatrixView<T>& teacher, const LossOptions& options, Matrix<T>& d_logits);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/train/loss-inl.hpp"
#endif
