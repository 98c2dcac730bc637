#include "dispatch/select.hpp"

#include <cstdlib>

#include "dispatch/tables.hpp"
#include "vbp/core/error.hpp"
#include "vbp/kernels/arch.hpp"

namespace dispatch {

namespace {

using vbp::kernels::KernelTable;

struct Unit {
  const KernelTable<float>& of_float;
  const KernelTable<double>& of_double;
  bool supported;
};

std::vector<Unit> units() {
  std::vector<Unit> all;
#if defined(VBP_X86_UNITS)
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  all.push_back({avx512_float, avx512_double, avx512 && avx2});
  all.push_back({avx2_float, avx2_double, avx2});
#endif
  all.push_back({vbp::simd::default_table<float>(), vbp::simd::default_table<double>(), true});
  return all;
}

}  // namespace

std::vector<Architecture> architectures() {
  std::vector<Architecture> all;
  for (const Unit& unit : units()) all.push_back({unit.of_float.architecture, unit.supported});
  return all;
}

void select(const std::string& name) {
  std::string names;
  for (const Unit& unit : units()) {
    const bool asked = name == unit.of_float.architecture;
    if (asked && !unit.supported) throw vbp::ValueError("this CPU does not support " + name);
    if (asked || (name.empty() && unit.supported)) {
      vbp::kernels::use(unit.of_float);
      vbp::kernels::use(unit.of_double);
      return;
    }
    names += std::string(names.empty() ? "" : ", ") + unit.of_float.architecture;
  }
  throw vbp::ValueError("there are no kernels for \"" + name + "\", only for " + names);
}

void select_by_environment() {
  const char* const name = std::getenv("VBP_ARCH");
  select(name == nullptr ? "" : name);
}

}  // namespace dispatch
