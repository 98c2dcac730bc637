#pragma once
/// Where the shared real inputs (a trained ViT-S, photographs, reference outputs) are, if they are there.

#include <filesystem>
#include <optional>

#include "support/catch.hpp"

namespace vbp_test {

/// The folder named at configuration by VBP_SHARED_DIR, or nothing where it does not exist.
inline std::optional<std::filesystem::path> shared_dir() {
  const std::filesystem::path folder = VBP_SHARED_DIR;
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  return folder;
}

}  // namespace vbp_test

/// Leaves the test case with a clear message where the shared inputs are absent.
#define VBP_REQUIRE_SHARED(name)                                   \
  const auto name##_found = vbp_test::shared_dir();                \
  if (!name##_found) {                                             \
    WARN("skipped: the shared inputs are not at " VBP_SHARED_DIR); \
    return;                                                        \
  }                                                                \
  const std::filesystem::path& name = *name##_found
