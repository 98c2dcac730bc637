#pragma once
/// The folder of shared real inputs (a trained ViT-S, photographs, reference outputs), if it exists.

#include <filesystem>
#include <optional>

#include "support/catch.hpp"

namespace vbp_test {

/// The folder that VBP_SHARED_DIR named when CMake was run, or nothing if it does not exist.
inline std::optional<std::filesystem::path> shared_dir() {
  const std::filesystem::path folder = VBP_SHARED_DIR;
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  return folder;
}

}  // namespace vbp_test

/// Sets `name` to the folder. If there is none, warns and returns from the test case.
#define VBP_REQUIRE_SHARED(name)                                   \
  const auto name##_found = vbp_test::shared_dir();                \
  if (!name##_found) {                                             \
    WARN("skipped: the shared inputs are not at " VBP_SHARED_DIR); \
    return;                                                        \
  }                                                                \
  const std::filesystem::path& name = *name##_found
