#include "services/preference_broker/http/gate.h"

#include <algorithm>
#include <utility>

#include "common/base/hash.h"

namespace backflip::preference_broker {
namespace {

constexpr size_t kMaxKeys = 50'000;
// Long, so that who is at work is let in while others at the same address guess.
constexpr std::chrono::hours kTokenMemory(1);

absl::Status TooMany() {
  return absl::ResourceExhaustedError(
      "too many calls without a valid token have come from this address: wait a minute");
}

}  // namespace

double Allowances::LeftAt(const Allowance& allowance, Clock::time_point now) const {
  const double seconds = std::chrono::duration<double>(now - allowance.at).count();
  return std::min(burst_, allowance.left + rate_ * seconds);
}

bool Allowances::Take(const std::string& key, double cost) {
  const Clock::time_point now = Clock::now();
  if (by_key_.size() >= kMaxKeys) {
    std::erase_if(by_key_, [&](const auto& item) { return LeftAt(item.second, now) >= burst_; });
    if (by_key_.size() >= kMaxKeys) by_key_.clear();  // memory comes first
  }
  Allowance& allowance = by_key_.try_emplace(key, Allowance{burst_, now}).first->second;
  allowance = {LeftAt(allowance, now), now};
  if (allowance.left <= 0) return false;
  allowance.left -= cost;
  return true;
}

void Allowances::GiveBack(const std::string& key, double cost) {
  if (const auto found = by_key_.find(key); found != by_key_.end()) found->second.left += cost;
}

bool Gate::Knows(const std::string& token) {
  const std::string key = base::Sha256(token);
  base::MutexLock lock(&mutex_);
  const auto found = known_until_.find(key);
  return found != known_until_.end() && found->second > Clock::now();
}

void Gate::Check(const std::string& token, const std::string& address,
                 std::function<void(absl::Status)> done) {
  // taken before the look and given back after, so that looks at the same time count too
  if (absl::Status status = TakeAnonymous(address); !status.ok()) {
    refusals_.Log(address, status.message());
    return done(std::move(status));
  }
  const auto looked = [this, key = base::Sha256(token), address,
                       done = std::move(done)](absl::Status status) {
    if (status.ok()) {
      base::MutexLock lock(&mutex_);
      if (known_until_.size() >= kMaxKeys) known_until_.clear();
      known_until_[key] = Clock::now() + kTokenMemory;
      anonymous_.GiveBack(address, 1);
    } else if (absl::IsUnauthenticated(status)) {
      refusals_.Log(address, status.message());
    }
    done(std::move(status));
  };
  if (token.empty()) {
    return looked(absl::UnauthenticatedError(
        "the call carries no token: send `authorization: Bearer TOKEN`"));
  }
  check_(token, looked);
}

absl::Status Gate::TakeAnonymous(const std::string& address) {
  base::MutexLock lock(&mutex_);
  return anonymous_.Take(address, 1) ? absl::OkStatus() : TooMany();
}

absl::Status Gate::TakeBody(const std::string& token, size_t bytes) {
  base::MutexLock lock(&mutex_);
  if (bodies_.Take(base::Sha256(token), 1 + static_cast<double>(bytes) / 1024))
    return absl::OkStatus();
  return absl::ResourceExhaustedError(
      "this token has sent too much at once: send 500 calls or 500 KiB a second at most");
}

}  // namespace backflip::preference_broker
