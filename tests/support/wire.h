// A network between two programs that a test can slow down and cut.
#ifndef BACKFLIP_TESTS_SUPPORT_WIRE_H_
#define BACKFLIP_TESTS_SUPPORT_WIRE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace backflip::testing {

// Carries the bytes of connections to a Unix socket of its own on to another one, from a thread of
// its own. Thread-safe. It stands in for the kernel's emulation of networks (tc netem), which not
// every kernel has, and needs no root.
class Wire {
 public:
  static absl::StatusOr<std::unique_ptr<Wire>> Start(std::string listen_path,
                                                     std::string target_path);
  // Ends all connections.
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // As it comes: at the beginning.
  void Pass() { Set(Mode::kPass); }
  // Each piece comes `delay` later, and one in `lost_of` after a retransmission of 200 ms more,
  // before all that follows it.
  void Slow(absl::Duration delay, int lost_of) {
    delay_ms_ = absl::ToInt64Milliseconds(delay);
    lost_of_ = lost_of;
    Set(Mode::kSlow);
  }
  // Nothing comes through, and neither side is told: a cable that was pulled, a firewall that has
  // forgotten, a peer that lost its power. What was sent meanwhile comes once it passes again.
  void Hold() { Set(Mode::kHold); }
  // The same in one direction alone: what is asked comes through, and no answer.
  void HoldAnswers() { Set(Mode::kHoldAnswers); }
  // Connections end, and new ones end at once.
  void Cut() { Set(Mode::kCut); }
  // Whether Hold, HoldAnswers or Cut comes to meet something that is on its way.
  bool AwaitStopped() const;

 private:
  enum class Mode { kPass, kSlow, kHold, kHoldAnswers, kCut };
  struct Piece;
  struct Direction;
  struct Connection;

  Wire() = default;
  void Set(Mode mode);
  void Work();
  void Accept();
  // Whether the connection goes on.
  bool Carry(Direction* direction, bool held);

  std::string target_path_, listen_path_;
  int listening_ = -1;
  std::atomic<Mode> mode_ = Mode::kPass;
  std::atomic<bool> stopped_ = false;
  std::atomic<int64_t> delay_ms_ = 0;
  std::atomic<int> lost_of_ = 1;
  std::atomic<bool> stop_ = false;
  std::minstd_rand draws_{1};
  std::vector<std::unique_ptr<Connection>> connections_;
  std::thread thread_;
};

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_SUPPORT_WIRE_H_
