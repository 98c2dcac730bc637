/// The compiled bodies of stats/, for float and double.

#include "vbp/stats/covariance-inl.hpp"
#include "vbp/stats/samples-inl.hpp"
#include "vbp/stats/statistics-inl.hpp"
#include "vbp/stats/stored_covariance-inl.hpp"

namespace vbp::inline VBP_ABI {

template class Statistics<float>;
template class Statistics<double>;
template class Covariance<float>;
template class Covariance<double>;

}  // namespace vbp::inline VBP_ABI
