/// The compiled bodies of io/.

#include "vbp/io/augmentation-inl.hpp"
#include "vbp/io/calibration_file-inl.hpp"
#include "vbp/io/file-inl.hpp"
#include "vbp/io/hash-inl.hpp"
#include "vbp/io/image_folder-inl.hpp"
#include "vbp/io/preprocessing-inl.hpp"
#include "vbp/io/safetensors-inl.hpp"
