#include <algorithm>
#include <iostream>
#include <thread>

#include "commands/commands.hpp"
#include "report/text.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/kernels/entry.hpp"
#include "vbp/kernels/peak.hpp"

namespace tool {

namespace {

void print_machine() {
  vbp::ThreadPool pool(1);
  double rate = 0.0;
  for (int run = 0; run < 20; ++run) rate = std::max(rate, vbp::kernels::multiply_add_rate<float>(pool));
  const vbp::kernels::Architecture used = vbp::kernels::architecture();
  std::cout << "hardware threads: " << std::thread::hardware_concurrency() << "\nkernels:";
  for (const vbp::kernels::Architecture& architecture : vbp::kernels::architectures()) {
    std::cout << ' ' << architecture.name;
    if (!architecture.supported) std::cout << " (not supported by this CPU)";
    if (architecture.name == used.name) std::cout << " (used)";
  }
  std::cout << "\nvector registers: " << used.register_bytes
            << " bytes\nmultiply-adds of one thread: " << fixed(rate * 1e-9, 1) << " GFLOP/s\n";
}

}  // namespace

void add_machine(CLI::App& app) {
  vbp::kernels::select_architecture_by_environment();
  app.add_option_function<std::string>(
         "--arch", [](const std::string& asked) { vbp::kernels::select_architecture(asked); },
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
