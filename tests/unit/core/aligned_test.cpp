#include "vbp/core/aligned.hpp"

#include <cstdint>
#include <utility>

#include "support/catch.hpp"

using vbp::AlignedBuffer;

TEMPLATE_TEST_CASE("a buffer of any size is aligned to cache lines", "[core][aligned]", float, double,
                   std::int8_t) {
  for (const vbp::Index size : {1, 3, 16, 17, 1000}) {
    AlignedBuffer<TestType> buffer(size);
    CHECK(buffer.size() == size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
    for (vbp::Index i = 0; i < size; ++i) buffer.data()[i] = TestType(i % 100);
    CHECK(buffer.data()[size - 1] == TestType((size - 1) % 100));
    const AlignedBuffer<TestType>& view = buffer;
    CHECK(view.data() == buffer.data());
  }
}

TEST_CASE("a buffer without size has no memory", "[core][aligned]") {
  AlignedBuffer<float> buffer;
  CHECK(buffer.size() == 0);
  CHECK(buffer.data() == nullptr);
  buffer.reserve(0);
  CHECK(buffer.data() == nullptr);
  CHECK(AlignedBuffer<float>(0).size() == 0);
}

TEST_CASE("a buffer grows, and keeps its memory where it need not", "[core][aligned]") {
  AlignedBuffer<double> buffer;
  buffer.reserve(10);
  CHECK(buffer.size() == 10);
  double* const memory = buffer.data();
  buffer.data()[9] = 7.0;
  buffer.reserve(10);
  buffer.reserve(3);
  CHECK(buffer.size() == 10);
  CHECK(buffer.data() == memory);
  CHECK(buffer.data()[9] == 7.0);
  buffer.reserve(11);
  CHECK(buffer.size() == 11);
  buffer.data()[10] = 1.0;
}

TEST_CASE("a buffer moves with its memory", "[core][aligned]") {
  AlignedBuffer<float> first(5);
  float* const memory = first.data();
  const AlignedBuffer<float> second = std::move(first);
  CHECK(second.data() == memory);
  CHECK(second.size() == 5);
}
