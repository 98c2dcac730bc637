/// The compiled bodies of what needs libjpeg and libpng.

#include "vbp/io/decode-inl.hpp"
#include "vbp/io/image_stream-inl.hpp"
#include "vbp/pipeline/image_folder-inl.hpp"
