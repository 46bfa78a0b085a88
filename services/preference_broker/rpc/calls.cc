#include "services/preference_broker/rpc/calls.h"

#include <utility>

namespace backflip::preference_broker {
absl::StatusOr<Caller> Authenticator::Check(Connection& connection, const std::string& token) {
  if (token.empty()) {
    return absl::UnauthenticatedError(
        "the call carries no token: send `authorization: Bearer TOKEN`");
  }
  const std::string key = base::Sha256Hex(token);
  {
    base::MutexLock lock(&mutex_);
    const auto known = known_.find(key);
    if (known != known_.end() && known->second.until > Hub::Clock::now())
      return known->second.caller;
  }
  const Hub::Clock::time_point asked = Hub::Clock::now();
  ASSIGN_OR_RETURN(const Caller caller, CallerOfToken(connection, token));
  base::MutexLock lock(&mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[key] = {caller, asked + kTokenMemory};
  return caller;
}

void Authenticator::Forget() {
  base::MutexLock lock(&mutex_);
  known_.clear();
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
