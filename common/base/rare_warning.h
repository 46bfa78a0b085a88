// A warning that strangers can cause as often as they like.
#ifndef BACKFLIP_COMMON_BASE_RARE_WARNING_H_
#define BACKFLIP_COMMON_BASE_RARE_WARNING_H_

#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"
#include "common/base/log.h"
#include "common/base/mutex.h"

namespace backflip::base {

// One line a second at most, with how often it was due since the last one. Thread-safe.
class RareWarning {
 public:
  // `event` as of LogWarning; it outlives this.
  explicit RareWarning(absl::string_view event) : event_(event) {}

  // `last_from`: who caused it this time.
  void Log(absl::string_view last_from, absl::string_view reason) {
    int64_t count;
    {
      MutexLock lock(&mutex_);
      ++unlogged_;
      const auto now = std::chrono::steady_clock::now();
      if (now < log_at_) return;
      log_at_ = now + std::chrono::seconds(1);
      count = std::exchange(unlogged_, 0);
    }
    LogWarning(event_, {{"calls", count}, {"last_from", last_from}, {"reason", reason}});
  }

 private:
  const absl::string_view event_;
  Mutex mutex_;
  std::chrono::steady_clock::time_point log_at_ ABSL_GUARDED_BY(mutex_);
  int64_t unlogged_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_RARE_WARNING_H_
