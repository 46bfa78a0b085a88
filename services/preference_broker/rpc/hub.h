// Where long polls and streams wait, without holding a thread, for a topic to be signalled or
// for time to pass.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_HUB_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_HUB_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/base/mutex.h"

namespace backflip::preference_broker {

// Thread-safe. Each `wake` is called once, from any thread, with no lock held; it must not block.
class Hub {
 public:
  using Clock = std::chrono::steady_clock;

  Hub();
  // Requires that nothing waits any more.
  ~Hub();

  // A timestamp for Wait: signals after it wake the waiter.
  uint64_t Now();
  void Signal(const std::string& topic);
  bool SignalledSince(const std::string& topic, uint64_t since);

  // Calls `wake` when `topic` (may be empty: none) was signalled after `since`,
  // at `until`, or when draining; possibly at once, in this thread.
  void Wait(const std::string& topic, uint64_t since, Clock::time_point until,
            std::function<void()> wake);

  // Wakes all waiters; from then on Wait calls `wake` at once.
  void Drain();
  bool draining();

 private:
  struct Waiter {
    std::string topic;
    Clock::time_point until;
    std::function<void()> wake;
  };
  void TimeOut();

  base::Mutex mutex_;
  base::CondVar timer_wake_;
  uint64_t now_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, uint64_t> signalled_ ABSL_GUARDED_BY(mutex_);
  std::list<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread timer_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_HUB_H_
