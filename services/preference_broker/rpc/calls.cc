#include "services/preference_broker/rpc/calls.h"

#include <functional>
#include <utility>

namespace backflip::preference_broker {
namespace {

// Calls that are open at once: of a labeler's or a reviewer's token, of another that is good, of a
// network without a good token.
constexpr int kOfPerson = 32;
constexpr int kOfProgram = 2048;
constexpr int kOfStrangers = 256;

}  // namespace

absl::StatusOr<Caller> Authenticator::Check(Connection& connection, const std::string& token,
                                            const std::string& network) {
  if (token.empty()) {
    return absl::UnauthenticatedError(
        "the call carries no token: send `authorization: Bearer TOKEN`");
  }
  const std::string key = base::Sha256Hex(token);
  bool guess = false;
  {
    base::MutexLock lock(&mutex_);
    const auto known = known_.find(key);
    if (known != known_.end() && known->second.until > Hub::Clock::now())
      return known->second.caller;
    guess = known == known_.end();
  }
  // taken before the look and given back after, so that looks at the same time count too
  if (guess) RETURN_IF_ERROR(TakeGuess(network));
  const Hub::Clock::time_point asked = Hub::Clock::now();
  const absl::StatusOr<Caller> caller = CallerOfToken(connection, token);
  base::MutexLock lock(&mutex_);
  if (absl::IsUnauthenticated(caller.status())) {
    known_.erase(key);
  } else if (guess) {
    guesses_.GiveBack(network, 1);
  }
  RETURN_IF_ERROR(caller.status());
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[key] = {*caller, asked + kTokenMemory};
  return caller;
}

absl::Status Authenticator::TakeGuess(const std::string& network) {
  if (network.empty()) return absl::OkStatus();
  base::MutexLock lock(&mutex_);
  const std::chrono::seconds after = guesses_.Take(network, 1);
  if (after.count() == 0) return absl::OkStatus();
  return rpc::ComeAgain("too many calls without a valid token have come from this address", after);
}

absl::StatusOr<Authenticator::Place> Authenticator::Enter(const std::string& token,
                                                          const std::string& network) {
  const std::string key = base::Sha256Hex(token);
  Place place{.stranger = true};
  int most = kOfStrangers;
  {
    base::MutexLock lock(&mutex_);
    if (const auto known = known_.find(key); known != known_.end()) {
      place.stranger = false;
      const Role role = known->second.caller.role;
      most = role == Role::kLabeler || role == Role::kReviewer ? kOfPerson : kOfProgram;
    }
  }
  // (what comes from this process was admitted by its HTTP side)
  if (place.stranger && network.empty()) return place;
  const std::string whose = place.stranger ? absl::StrCat("strangers ", network) : key;
  place.who = std::hash<std::string>()(whose);
  place.of_token = open_.Take(whose, most);
  if (place.of_token == nullptr) {
    return rpc::ComeAgain(
        absl::StrCat(place.stranger ? "tokens that are not known, at this address, have "
                                    : "this token has ",
                     most, " calls open already"),
        rpc::kSoon);
  }
  if (network.empty()) return place;
  place.of_network = open_.Take(network, rpc::kOpenCallsOfNetwork);
  if (place.of_network != nullptr) return place;
  return rpc::ComeAgain(
      absl::StrCat("this address has ", rpc::kOpenCallsOfNetwork, " calls open already"),
      rpc::kSoon);
}

void Authenticator::Forget() {
  base::MutexLock lock(&mutex_);
  for (auto& [key, known] : known_) known.until = {};
}

absl::Status ChunkedBytes::Begin(absl::string_view what, int64_t size, const std::string& sha256,
                                 int64_t max_size) {
  begun_ = true;
  what_ = std::string(what);
  if (size <= 0 || size > max_size) {
    return absl::InvalidArgumentError(absl::StrCat("the size of a ", what, " is ", size,
                                                   ", but must be from 1 to ", max_size,
                                                   " bytes; the first message tells it"));
  }
  if (!base::IsSha256Hex(sha256)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the sha256 of a ", what,
                     " must be 64 lower-case hexadecimal digits; the first message tells it"));
  }
  size_ = size;
  sha256_ = sha256;
  return absl::OkStatus();
}

absl::Status ChunkedBytes::Add(absl::string_view chunk) {
  if (static_cast<int64_t>(bytes_.size() + chunk.size()) > size_) {
    return absl::DataLossError(
        absl::StrCat("the ", what_, " is longer than the ", size_, " bytes that were told"));
  }
  bytes_.append(chunk.data(), chunk.size());
  return absl::OkStatus();
}

absl::Status ChunkedBytes::Check() const {
  if (static_cast<int64_t>(bytes_.size()) != size_) {
    return absl::DataLossError(absl::StrCat("the ", what_, " has ", bytes_.size(),
                                            " bytes instead of the ", size_, " that were told"));
  }
  if (base::Sha256Hex(bytes_) != sha256_) {
    return absl::DataLossError(absl::StrCat("the ", what_, " has another sha256 than was told"));
  }
  return absl::OkStatus();
}

}  // namespace backflip::preference_broker
