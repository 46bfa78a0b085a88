// Who may have how much of the server's time. Nothing of a body is parsed before its token is
// known.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/base/rare_warning.h"

namespace backflip::preference_broker {

// Looks a token up. Calls `done` once, from any thread, perhaps before it returns: OK,
// UNAUTHENTICATED, or why it could not look. Does not block.
using CheckToken =
    std::function<void(const std::string& token, std::function<void(absl::Status)> done)>;

// Allowances by key: each holds at most `burst`, and gains `rate` a second. One that is left may be
// overdrawn, and is paid back by time. Not thread-safe.
class Allowances {
 public:
  Allowances(double rate, double burst) : rate_(rate), burst_(burst) {}

  // False: nothing is left, and nothing was taken.
  bool Take(const std::string& key, double cost);
  void GiveBack(const std::string& key, double cost);

 private:
  using Clock = std::chrono::steady_clock;
  struct Allowance {
    double left;
    Clock::time_point at;
  };
  double LeftAt(const Allowance& allowance, Clock::time_point now) const;

  const double rate_;
  const double burst_;
  // without those that are full again, once there are many
  std::unordered_map<std::string, Allowance> by_key_;
};

// Remembers tokens that were valid within the last hour. That is enough to read a body for: the
// services check each call themselves. Thread-safe.
class Gate {
 public:
  explicit Gate(CheckToken check) : check_(std::move(check)) {}

  bool Knows(const std::string& token);
  // Looks up a token that is not known. `done` as of CheckToken; RESOURCE_EXHAUSTED: there were too
  // many calls without a valid token from `address`. Refusals are logged, one line a second at
  // most.
  void Check(const std::string& token, const std::string& address,
             std::function<void(absl::Status)> done);
  // For a call that needs no token. RESOURCE_EXHAUSTED as of Check.
  absl::Status TakeAnonymous(const std::string& address);
  // For a call with a known token and so many bytes of its body. RESOURCE_EXHAUSTED: there was too
  // much just now.
  absl::Status TakeBody(const std::string& token, size_t bytes);

 private:
  using Clock = std::chrono::steady_clock;
  const CheckToken check_;
  base::Mutex mutex_;
  // by the token's hash
  std::unordered_map<std::string, Clock::time_point> known_until_ ABSL_GUARDED_BY(mutex_);
  Allowances anonymous_ ABSL_GUARDED_BY(mutex_){10, 300};
  // A unit is a call, or a KiB of its body.
  Allowances bodies_ ABSL_GUARDED_BY(mutex_){500, 4000};
  base::RareWarning refusals_{"calls without a valid token are refused"};
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATE_H_
