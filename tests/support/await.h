// Waiting for what must come.
#ifndef BACKFLIP_TESTS_SUPPORT_AWAIT_H_
#define BACKFLIP_TESTS_SUPPORT_AWAIT_H_

#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace backflip::testing {

// How long it may take, however slow and busy the machine is.
inline constexpr absl::Duration kPatience = absl::Minutes(10);

// Looks at the condition again and again. False: it has not come to hold in all that time.
inline bool Await(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_SUPPORT_AWAIT_H_
