// The one retry loop: bounded, jittered, exponential.
#ifndef BACKFLIP_COMMON_BASE_RETRY_H_
#define BACKFLIP_COMMON_BASE_RETRY_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace backflip::base {

struct RetryPolicy {
  absl::Duration first_wait = absl::Milliseconds(100);
  absl::Duration longest_wait = absl::Seconds(3);
  // From the first try; after it the last error is returned.
  absl::Duration give_up_after = absl::Minutes(2);
};

// UNAVAILABLE, DEADLINE_EXCEEDED and RESOURCE_EXHAUSTED: the same call may
// succeed later.
bool IsRetryable(const absl::Status& status);

// Calls `attempt` until it succeeds, fails for good, time is up, or `stop`
// (may be null) answers true; waits are cut into pieces of at most 100 ms so
// that `stop` is noticed. CANCELLED is tried again where there is a `stop` that
// answers false: a server that shuts down ends calls so. Blocks. Returns the last
// status, CANCELLED when stopped.
absl::Status Retry(const RetryPolicy& policy, const std::function<bool()>& stop,
                   const std::function<absl::Status()>& attempt);

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_RETRY_H_
