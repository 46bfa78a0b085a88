// Who may have how much of the server's time. Nothing of a body is parsed before its token is
// known.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/rare_warning.h"
#include "common/rpc/allowances.h"

namespace backflip::preference_broker {

// Looks a token up. Calls `done` once, from any thread, perhaps before it returns: OK,
// UNAUTHENTICATED, or why it could not look. Does not block.
using CheckToken =
    std::function<void(const std::string& token, std::function<void(absl::Status)> done)>;

// Remembers tokens that were valid within the last hour. That is enough to read a body for: the
// services check each call themselves. Thread-safe.
class Gate {
 public:
  explicit Gate(CheckToken check) : check_(std::move(check)) {}

  bool Knows(const std::string& token);
  // A service has refused it.
  void Forget(const std::string& token);
  // Looks up a token that is not known. `done` as of CheckToken; RESOURCE_EXHAUSTED: there were too
  // many calls without a valid token from `address`. Refusals are logged, one line a second at
  // most.
  void Check(const std::string& token, const std::string& address,
             std::function<void(absl::Status)> done);
  // For a call that needs no token. RESOURCE_EXHAUSTED as of Check.
  absl::Status TakeAnonymous(const std::string& address);
  // A place for a call from `address` while it is answered. RESOURCE_EXHAUSTED: it has too many.
  absl::StatusOr<std::shared_ptr<void>> Enter(const std::string& address);
  // For a call with a known token and so many bytes of its body. RESOURCE_EXHAUSTED: there was too
  // much just now.
  absl::Status TakeBody(const std::string& token, size_t bytes);

 private:
  using Clock = std::chrono::steady_clock;
  const CheckToken check_;
  base::Mutex mutex_;
  // by the token's hash
  std::unordered_map<std::string, Clock::time_point> known_until_ ABSL_GUARDED_BY(mutex_);
  rpc::Allowances anonymous_ ABSL_GUARDED_BY(mutex_){rpc::kGuessesPerSecond, rpc::kGuessesAtFirst};
  // A unit is a call, or a KiB of its body.
  rpc::Allowances bodies_ ABSL_GUARDED_BY(mutex_){500, 4000};
  rpc::Slots open_;
  base::RareWarning refusals_{"calls without a valid token are refused"};
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATE_H_
