#pragma once
/// Where a forward pass spends its time.

#include <array>
#include <chrono>
#include <cstddef>

namespace vbp::inline VBP_ABI {

/// Kinds of layers that a forward pass of any family goes through; the embedding includes all that comes
/// before the first block, the head the last norm and pooling.
enum class LayerKind {
  embedding,
  downsampling,
  norm,
  depthwise,
  qkv,
  attention,
  projection,
  fc1,
  fc2,
  head,
};
inline constexpr std::array<const char*, 10> kLayerKindNames = {
    "embedding", "downsampling", "norm", "depthwise", "qkv", "attention", "projection", "fc1", "fc2", "head"};
/// Seconds spent in each of them.
using LayerSeconds = std::array<double, kLayerKindNames.size()>;

namespace detail {

/// Divides the time of forward passes among the kinds of layers; costs nothing while nobody listens.
class LayerClock {
 public:
  /// Adds to `seconds` from now on; null ends it.
  void record(LayerSeconds* seconds) noexcept { seconds_ = seconds; }
  void start() noexcept {
    if (seconds_ != nullptr) last_ = Clock::now();
  }
  /// The time since start() or the last lap was this layer's.
  void lap(LayerKind kind) noexcept {
    if (seconds_ == nullptr) return;
    const Clock::time_point now = Clock::now();
    (*seconds_)[static_cast<std::size_t>(kind)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;

  LayerSeconds* seconds_ = nullptr;
  Clock::time_point last_;
};

}  // namespace detail
}  // namespace vbp::inline VBP_ABI
