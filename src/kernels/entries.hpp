#pragma once
/// The kernels of one instruction set in vbp::compiled: a reference to their table.

#include "src/kernels/table.hpp"
#include "vbp/kernels/entry.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
class Entries {
 public:
  constexpr explicit Entries(const simd::Table<T>& table) noexcept : table_(table) {}

  template <class Kernel>
  auto get() const noexcept {
    return table_.template get<Kernel>();
  }

 private:
  const simd::Table<T>& table_;
};

}  // namespace vbp::inline VBP_ABI::kernels
