/// The compiled bodies of training a model of any family.

#include "vbp/pipeline/finetune-inl.hpp"
#include "vbp/pipeline/training-inl.hpp"
