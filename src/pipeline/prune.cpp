/// The compiled bodies of pruning a model of any family.

#include "vbp/pipeline/prune-inl.hpp"
#include "vbp/pipeline/steps-inl.hpp"
