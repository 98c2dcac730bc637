// Preprocessed, its last line is the name of the inline namespace that these flags give.
#include <vbp/core/config.hpp>
VBP_ABI
