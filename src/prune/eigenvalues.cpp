/// The compiled bodies of the criteria that need eigenvalues or distances of whole columns.

#include "vbp/prune/criteria/clusters-inl.hpp"
#include "vbp/prune/criteria/denoised-inl.hpp"
