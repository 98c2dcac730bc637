#include "vbp/kernels/workspace.hpp"

#include <cstdint>
#include <set>

#include "support/catch.hpp"

using vbp::kernels::Workspace;

TEST_CASE("every thread has scratch of its own, aligned to cache lines", "[kernels][workspace]") {
  Workspace<float> workspace(3);
  CHECK(workspace.pool().size() == 3);
  CHECK(workspace.bytes() == 0);
  workspace.reserve(1001);
  CHECK(workspace.bytes() == 3 * 1001 * 4);
  std::set<float*> buffers;
  for (int worker = 0; worker < 3; ++worker) {
    float* const scratch = workspace.scratch(worker);
    CHECK(reinterpret_cast<std::uintptr_t>(scratch) % 64 == 0);
    buffers.insert(scratch);
    std::fill_n(scratch, 1001, static_cast<float>(worker));
  }
  CHECK(buffers.size() == 3);
  for (int worker = 0; worker < 3; ++worker) {
    CHECK(workspace.scratch(worker)[0] == static_cast<float>(worker));
    CHECK(workspace.scratch(worker)[1000] == static_cast<float>(worker));
  }
}

TEST_CASE("scratch grows and stays", "[kernels][workspace]") {
  Workspace<double> workspace(2);
  workspace.reserve(100);
  double* const first = workspace.scratch(1);
  workspace.reserve(100);
  workspace.reserve(7);
  workspace.reserve(0);
  CHECK(workspace.scratch(1) == first);
  CHECK(workspace.bytes() == 2 * 100 * 8);
  workspace.reserve(101);
  CHECK(workspace.bytes() == 2 * 101 * 8);
}

TEST_CASE("without a number of threads there is one a hardware thread", "[kernels][workspace]") {
  CHECK(Workspace<float>().pool().size() ==
        static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
}
