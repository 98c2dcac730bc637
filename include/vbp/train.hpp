#pragma once
/// Trains the networks of vbp/models.hpp, from random weights or by distillation from a teacher.
///
///     #include <vbp/train.hpp>
///
///     using Model = vbp::VisionTransformer<float>;
///     vbp::Trainer<Model> trainer(student, &teacher, {.epochs = 3}, images_per_epoch);
///     vbp::TrainingStep done;
///     for (int epoch = 0; epoch < 3; ++epoch) {
///       while (trainer.step(next_batch, done)) std::cout << done.loss << '\n';
///       trainer.end_epoch();
///     }
///     student = trainer.model();

#include "vbp/models.hpp"
#include "vbp/models/backpropagation.hpp"
#include "vbp/models/convnext/backward.hpp"
#include "vbp/models/initialise.hpp"
#include "vbp/models/layers_backward.hpp"
#include "vbp/models/stage_backward.hpp"
#include "vbp/models/swin/backward.hpp"
#include "vbp/models/vit/backward.hpp"
#include "vbp/models/vit/initialise.hpp"
#include "vbp/train/adamw.hpp"
#include "vbp/train/loss.hpp"
#include "vbp/train/mean_gradient.hpp"
#include "vbp/train/mixup.hpp"
#include "vbp/train/schedule.hpp"
#include "vbp/train/trainer.hpp"
