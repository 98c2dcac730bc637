#include <algorithm>
#include <iostream>
#include <thread>

#include "common.hpp"
#include "dispatch/select.hpp"
#include "vbp/kernels/peak.hpp"

namespace tool {

namespace {

void print_machine() {
  vbp::ThreadPool pool(1);
  double rate = 0.0;
  for (int run = 0; run < 20; ++run) rate = std::max(rate, vbp::kernels::multiply_add_rate<float>(pool));
  const auto& kernels = vbp::kernels::table<float>();
  std::cout << "hardware threads: " << std::thread::hardware_concurrency() << "\nkernels:";
  for (const dispatch::Architecture& architecture : dispatch::architectures()) {
    std::cout << ' ' << architecture.name;
    if (!architecture.supported) std::cout << " (not supported by this CPU)";
    if (architecture.name == kernels.architecture) std::cout << " (used)";
  }
  std::cout << "\nvector registers: " << kernels.register_bytes
            << " bytes\nmultiply-adds of one thread: " << fixed(rate * 1e-9, 1) << " GFLOP/s\n";
}

}  // namespace

void add_machine(CLI::App& app) {
  dispatch::select_by_environment();
  app.add_option_function<std::string>(
         "--arch", [](const std::string& asked) { dispatch::select(asked); },
         "use the kernels of this architecture (default: VBP_ARCH, or the best one)")
      ->trigger_on_parse();
  app.get_subcommand("info")
      ->add_flag_callback(
          "--machine",
          [] {
            print_machine();
            throw CLI::Success();
          },
          "show this machine and the kernels that are used on it, no model needed")
      ->trigger_on_parse();
}

}  // namespace tool
