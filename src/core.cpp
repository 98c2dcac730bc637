/// The compiled bodies of core/.

#include "vbp/core/message-inl.hpp"
