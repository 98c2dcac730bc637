/// Chooses the instruction set whose kernels the library uses.

#include <atomic>
#include <cstdlib>

#include "src/kernels/entries.hpp"
#include "vbp/core/error.hpp"
#include "vbp/kernels/entry.hpp"

namespace vbp::inline VBP_ABI::kernels {

namespace {

/// The kernels of one instruction set.
struct Unit {
  const char* name;
  bool (*supported)() noexcept;
  Entries<float> of_float;
  Entries<double> of_double;
};

constexpr Unit kUnits[] = {
#if defined(VBP_X86_UNITS)
    {"avx512",
     []() noexcept {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
     },
     Entries<float>(simd::avx512_float), Entries<double>(simd::avx512_double)},
    {"avx2", []() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); },
     Entries<float>(simd::avx2_float), Entries<double>(simd::avx2_double)},
#endif
    {xsimd::default_arch::name(), []() noexcept { return true; }, Entries<float>(simd::baseline_float),
     Entries<double>(simd::baseline_double)}};

const Unit& best() noexcept {
  for (const Unit& unit : kUnits) {
    if (unit.supported()) return unit;
  }
  return kUnits[0];
}

std::atomic<const Unit*> chosen = nullptr;

const Unit& in_use() noexcept {
  const Unit* unit = chosen.load(std::memory_order_relaxed);
  if (unit == nullptr) {
    unit = &best();
    chosen.store(unit, std::memory_order_relaxed);
  }
  return *unit;
}

Architecture described(const Unit& unit) {
  return {unit.name, unit.of_float.get<simd::RegisterBytes>(), unit.supported()};
}

}  // namespace

template <>
const Entries<float>& entries<float>() noexcept {
  return in_use().of_float;
}

template <>
const Entries<double>& entries<double>() noexcept {
  return in_use().of_double;
}

std::vector<Architecture> architectures() {
  std::vector<Architecture> all;
  for (const Unit& unit : kUnits) all.push_back(described(unit));
  return all;
}

Architecture architecture() {
  return described(in_use());
}

void select_architecture(const std::string& name) {
  std::string names;
  for (const Unit& unit : kUnits) {
    const bool asked = name == unit.name;
    if (asked && !unit.supported()) throw ValueError("this CPU does not support " + name);
    if (asked || (name.empty() && unit.supported())) {
      chosen.store(&unit, std::memory_order_relaxed);
      return;
    }
    names += (names.empty() ? "" : ", ") + std::string(unit.name);
  }
  throw ValueError("there are no kernels for \"" + name + "\", only for " + names);
}

void select_architecture_by_environment() {
  const char* const name = std::getenv("VBP_ARCH");
  select_architecture(name == nullptr ? "" : name);
}

}  // namespace vbp::inline VBP_ABI::kernels
