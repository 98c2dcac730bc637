/// The compiled AnyModel, and running it.

#include "vbp/pipeline/any_model-inl.hpp"
#include "vbp/pipeline/image_source-inl.hpp"
#include "vbp/pipeline/inference-inl.hpp"
