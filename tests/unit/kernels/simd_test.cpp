#include "vbp/kernels/detail/simd.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <vector>

#include "support/catch.hpp"
#include "vbp/kernels/entry.hpp"

namespace {

using Arch = xsimd::default_arch;
namespace detail = vbp::simd;

template <class T>
using Batch = detail::Batch<Arch, T>;

/// The lanes of a batch as a vector.
template <class T>
std::vector<T> lanes(const Batch<T>& batch) {
  std::vector<T> values(Batch<T>::size);
  batch.store_unaligned(values.data());
  return values;
}

/// The values first, first + step, ..., one per lane.
template <class T>
std::vector<T> ramp(T first, T step) {
  std::vector<T> values;
  for (std::size_t i = 0; i < Batch<T>::size; ++i) values.push_back(first + step * static_cast<T>(i));
  return values;
}

}  // namespace

TEMPLATE_TEST_CASE("multiply_add is a b + c in each lane", "[kernels][simd]", float, double) {
  const std::vector<TestType> a = ramp<TestType>(2, 1), b = ramp<TestType>(-3, 2), c = ramp<TestType>(5, -7);
  const std::vector<TestType> result = lanes(detail::multiply_add<Arch, TestType>(
      Batch<TestType>::load_unaligned(a.data()), Batch<TestType>::load_unaligned(b.data()),
      Batch<TestType>::load_unaligned(c.data())));
  for (std::size_t i = 0; i < result.size(); ++i) CHECK(result[i] == a[i] * b[i] + c[i]);
}

TEMPLATE_TEST_CASE("load_as converts lane by lane from any address", "[kernels][simd]", float, double) {
  std::vector<float> floats(80);
  std::vector<double> doubles(80);
  for (std::size_t i = 0; i < 80; ++i) {
    floats[i] = 0.1F * static_cast<float>(i);
    doubles[i] = 0.1 * static_cast<double>(i);
  }
  for (std::size_t offset = 0; offset < 17; ++offset) {
    const auto from_float = lanes(detail::load_as<Arch, TestType>(floats.data() + offset));
    const auto from_double = lanes(detail::load_as<Arch, TestType>(doubles.data() + offset));
    for (std::size_t i = 0; i < from_float.size(); ++i) {
      CHECK(from_float[i] == static_cast<TestType>(floats[offset + i]));
      CHECK(from_double[i] == static_cast<TestType>(doubles[offset + i]));
    }
  }
}

TEMPLATE_TEST_CASE("sum_lanes adds every lane once", "[kernels][simd]", float, double) {
  // The sum of distinct powers of two is exact in any order, and its bits show which lanes it contains.
  std::vector<TestType> values;
  for (std::size_t i = 0; i < Batch<TestType>::size; ++i) values.push_back(static_cast<TestType>(1 << i));
  CHECK(detail::sum_lanes<Arch, TestType>(Batch<TestType>::load_unaligned(values.data())) ==
        static_cast<TestType>((1 << values.size()) - 1));
}
