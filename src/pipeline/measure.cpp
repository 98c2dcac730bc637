/// The compiled bodies of calibration, evaluation, classification and latency.

#include "vbp/pipeline/calibrate-inl.hpp"
#include "vbp/pipeline/classify-inl.hpp"
#include "vbp/pipeline/evaluate-inl.hpp"
#include "vbp/pipeline/latency-inl.hpp"
