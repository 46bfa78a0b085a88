#include "common/base/retry.h"

#include <algorithm>

#include "absl/random/random.h"
#include "absl/time/clock.h"

namespace backflip::base {

bool IsRetryable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

absl::Status Retry(const RetryPolicy& policy, const std::function<bool()>& stop,
                   const std::function<absl::Status()>& attempt) {
  absl::BitGen random;
  const absl::Time give_up = absl::Now() + policy.give_up_after;
  absl::Duration wait = policy.first_wait;
  while (true) {
    if (stop && stop()) return absl::CancelledError("stopped");
    absl::Status status = attempt();
    // nobody here cancelled it: the other end shut down with the call in hand
    const bool cut_off = absl::IsCancelled(status) && stop && !stop();
    if (status.ok() || !(IsRetryable(status) || cut_off)) return status;
    // between half and all of the wait, so that clients do not come back together
    const absl::Time until = absl::Now() + wait * absl::Uniform(random, 0.5, 1.0);
    if (until > give_up) return status;
    while (absl::Now() < until) {
      if (stop && stop()) return absl::CancelledError("stopped");
      absl::SleepFor(std::min(absl::Milliseconds(100), until - absl::Now()));
    }
    wait = std::min(wait * 2, policy.longest_wait);
  }
}

}  // namespace backflip::base
