#include "services/preference_broker/http/gate.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/hash.h"

namespace backflip::preference_broker {
namespace {

constexpr size_t kMaxKeys = 50'000;
// Long, so that who is at work is let in while others at the same address guess.
constexpr std::chrono::hours kTokenMemory(1);

}  // namespace

bool Gate::Knows(const std::string& token) {
  const std::string key = base::Sha256(token);
  base::MutexLock lock(&mutex_);
  const auto found = known_until_.find(key);
  return found != known_until_.end() && found->second > Clock::now();
}

void Gate::Forget(const std::string& token) {
  base::MutexLock lock(&mutex_);
  known_until_.erase(base::Sha256(token));
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
    if (absl::IsUnauthenticated(status)) {
      refusals_.Log(address, status.message());
    } else {
      base::MutexLock lock(&mutex_);
      anonymous_.GiveBack(address, 1);
      if (known_until_.size() >= kMaxKeys) known_until_.clear();
      if (status.ok()) known_until_[key] = Clock::now() + kTokenMemory;
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
  const std::chrono::seconds after = anonymous_.Take(address, 1);
  if (after.count() == 0) return absl::OkStatus();
  return rpc::ComeAgain("too many calls without a valid token have come from this address", after);
}

absl::StatusOr<std::shared_ptr<void>> Gate::Enter(const std::string& address) {
  std::shared_ptr<void> slot = open_.Take(address, rpc::kOpenCallsOfNetwork);
  if (slot != nullptr) return slot;
  return rpc::ComeAgain(
      absl::StrCat("this address has ", rpc::kOpenCallsOfNetwork, " calls open already"),
      rpc::kSoon);
}

absl::Status Gate::TakeBody(const std::string& token, size_t bytes) {
  base::MutexLock lock(&mutex_);
  const std::chrono::seconds after =
      bodies_.Take(base::Sha256(token), 1 + static_cast<double>(bytes) / 1024);
  if (after.count() == 0) return absl::OkStatus();
  return rpc::ComeAgain("this token has sent more than 500 calls or 500 KiB a second", after);
}

}  // namespace backflip::preference_broker
