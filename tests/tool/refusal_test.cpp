#include <string>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;

}  // namespace

TEST_CASE("more threads than the system starts are refused", "[refusal]") {
  const Workplace at;
  // The stacks of a thousand threads do not fit; sanitizers need terabytes to begin with.
  constexpr rlim_t memory = rlim_t{400} << 20;
  if (Process(tool_command("--version"), {.memory_bytes = memory}).wait().code != 0) {
    WARN("skipped: the tool does not start within 400 MB of address space");
    return;
  }
  const auto command = tool_command("eval", at.model, "--data", at.data, "--threads", "1000");
  check_refusal(Process(command, {.memory_bytes = memory}).wait(), 1, {"starts no more threads", "--threads"});
}
