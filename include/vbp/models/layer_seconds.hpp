#pragma once
/// Where a forward pass spends its time.

#include <array>
#include <chrono>
#include <cstddef>

namespace vbp::inline VBP_ABI {

/// Kinds of layers that a forward pass of any family goes through. The embedding includes everything before
/// the first block; the head includes the last norm and pooling.
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

/// Divides the time of forward passes among the kinds of layers. It costs nothing while nobody records.
class LayerClock {
 public:
  /// From now on, adds to `seconds`; null ends it.
  void record(LayerSeconds* seconds) noexcept { seconds_ = seconds; }
  void start() noexcept {
    if (seconds_ != nullptr) last_ = Clock::now();
  }
  /// Gives the time since start() or the last lap to this kind of layer.
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
