/// The kernels of the compiler's flags, compiled once for a whole program.

#include "vbp/kernels/arch.hpp"

namespace vbp::kernels::detail {

template const KernelTable<float>& default_table<float>() noexcept;
template const KernelTable<double>& default_table<double>() noexcept;

}  // namespace vbp::kernels::detail
