// How much of a server each caller may have: so much a second, and so much at once. Callers are
// told apart by keys: the hash of a token, or the network that a call comes from.
#ifndef BACKFLIP_COMMON_RPC_ALLOWANCES_H_
#define BACKFLIP_COMMON_RPC_ALLOWANCES_H_

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/base/mutex.h"

namespace backflip::rpc {

// The same over gRPC and HTTP. Calls without a good token of a network: so many a second, and so
// many at first.
inline constexpr double kGuessesPerSecond = 10;
inline constexpr double kGuessesAtFirst = 300;
// Calls of a network that are open at once: of a crowd behind it, one each.
inline constexpr int kOpenCallsOfNetwork = 4096;
// When to come again where that is not known.
inline constexpr std::chrono::seconds kSoon(5);

// A token bucket for each key: it holds at most `burst`, and gains `rate` a second. One that is
// left may be overdrawn, and is paid back by time. Not thread-safe.
class Allowances {
 public:
  Allowances(double rate, double burst) : rate_(rate), burst_(burst) {}

  // 0: taken. Otherwise nothing was taken, and there is something again after so many seconds.
  std::chrono::seconds Take(const std::string& key, double cost);
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

// So many at once for each key. Thread-safe; outlives the slots that it gave.
class Slots {
 public:
  // A slot, which goes back with the last copy; null: `most` of the key are taken.
  std::shared_ptr<void> Take(const std::string& key, int most);

 private:
  base::Mutex mutex_;
  std::unordered_map<std::string, int> taken_ ABSL_GUARDED_BY(mutex_);
};

// RESOURCE_EXHAUSTED: `what`, and when to come again, which an HTTP answer says in Retry-After.
absl::Status ComeAgain(absl::string_view what, std::chrono::seconds after);
inline constexpr char kRetryAfter[] = "retry-after";  // the payload: seconds

// The network of a gRPC peer, as limits count: an IPv4 address, or the /64 of an IPv6 one. Empty: a
// caller on this machine by a Unix socket, or in this process.
std::string NetworkOf(absl::string_view peer);

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_ALLOWANCES_H_
