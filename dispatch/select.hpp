#pragma once
/// The choice of kernels in a program that carries several architectures' (CMake target vbp_dispatch).

#include <string>
#include <vector>

namespace dispatch {

struct Architecture {
  std::string name;
  bool supported = false;  ///< by this CPU and its operating system
};

/// What this program carries, the best first.
std::vector<Architecture> architectures();

/// Uses the kernels of this name, or the best that the CPU supports if it is empty. To be called before the
/// first kernel runs. Throws vbp::ValueError if the program lacks them or the CPU does.
void select(const std::string& name = {});

/// The same with the name that the environment variable VBP_ARCH holds.
void select_by_environment();

}  // namespace dispatch
