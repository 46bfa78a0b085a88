#include "common/rpc/allowances.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace backflip::rpc {
namespace {

constexpr size_t kMaxKeys = 50'000;

}  // namespace

double Allowances::LeftAt(const Allowance& allowance, Clock::time_point now) const {
  const double seconds = std::chrono::duration<double>(now - allowance.at).count();
  return std::min(burst_, allowance.left + rate_ * seconds);
}

std::chrono::seconds Allowances::Take(const std::string& key, double cost) {
  const Clock::time_point now = Clock::now();
  if (by_key_.size() >= kMaxKeys) {
    std::erase_if(by_key_, [&](const auto& item) { return LeftAt(item.second, now) >= burst_; });
    if (by_key_.size() >= kMaxKeys) by_key_.clear();  // memory comes first
  }
  Allowance& allowance = by_key_.try_emplace(key, Allowance{burst_, now}).first->second;
  allowance = {LeftAt(allowance, now), now};
  if (allowance.left <= 0)
    return std::chrono::seconds(1 + static_cast<int64_t>(-allowance.left / rate_));
  allowance.left -= cost;
  return std::chrono::seconds(0);
}

void Allowances::GiveBack(const std::string& key, double cost) {
  if (const auto found = by_key_.find(key); found != by_key_.end()) found->second.left += cost;
}

std::shared_ptr<void> Slots::Take(const std::string& key, int most) {
  base::MutexLock lock(&mutex_);
  int& taken = taken_[key];
  if (taken >= most) return nullptr;
  ++taken;
  return std::shared_ptr<void>(this, [this, key](void*) {
    base::MutexLock lock(&mutex_);
    const auto found = taken_.find(key);
    if (--found->second == 0) taken_.erase(found);
  });
}

absl::Status ComeAgain(absl::string_view what, std::chrono::seconds after) {
  absl::Status status =
      absl::ResourceExhaustedError(absl::StrCat(what, ": come again in ", after.count(), " s"));
  status.SetPayload(kRetryAfter, absl::Cord(absl::StrCat(after.count())));
  return status;
}

std::string NetworkOf(absl::string_view peer) {
  const std::string decoded = absl::StrReplaceAll(peer, {{"%5B", "["}, {"%5D", "]"}});
  absl::string_view address = decoded;
  address = address.substr(0, address.rfind(':'));
  if (absl::ConsumePrefix(&address, "ipv4:")) return std::string(address);
  if (!absl::ConsumePrefix(&address, "ipv6:")) return "";
  absl::ConsumePrefix(&address, "[");
  absl::ConsumeSuffix(&address, "]");
  in6_addr bytes = {};
  // (without the zone of a link-local one)
  if (inet_pton(AF_INET6, std::string(address.substr(0, address.find('%'))).c_str(), &bytes) != 1)
    return std::string(address);
  char text[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&bytes)) {
    inet_ntop(AF_INET, bytes.s6_addr + 12, text, sizeof(text));
    return text;
  }
  std::fill(bytes.s6_addr + 8, bytes.s6_addr + 16, 0);
  inet_ntop(AF_INET6, &bytes, text, sizeof(text));
  return absl::StrCat(text, "/64");
}

}  // namespace backflip::rpc
