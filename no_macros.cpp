#include <vbp/vbp.hpp>
