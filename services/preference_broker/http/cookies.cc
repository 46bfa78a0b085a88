#include "services/preference_broker/http/cookies.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/rpc/sessions.h"

namespace backflip::preference_broker {
Page PageOf(v1::InviteRole role) {
  return role == v1::INVITE_REVIEWER || role == v1::INVITE_OPERATOR ? Page::kDashboard
                                                                    : Page::kLabeling;
}

SessionCookies::SessionCookies(const std::string& url)
    : secure_(absl::StartsWith(url, "https://")) {
  const std::string port = url.substr(url.rfind(':') + 1);
  if (std::all_of(port.begin(), port.end(), absl::ascii_isdigit)) port_ = absl::StrCat("-", port);
}

std::string SessionCookies::Name(Page page) const {
  const char* const name = page == Page::kDashboard ? "backflip-dashboard" : "backflip-labeling";
  // RFC 6265bis, section 4.1.3: browsers take __Host- cookies from this very host over TLS alone
  return absl::StrCat(secure_ ? "__Host-" : "", name, port_);
}

std::string SessionCookies::Read(Page page, absl::string_view cookies) const {
  const std::string start = absl::StrCat(Name(page), "=");
  for (absl::string_view cookie : absl::StrSplit(cookies, ';')) {
    cookie = absl::StripAsciiWhitespace(cookie);
    if (absl::ConsumePrefix(&cookie, start)) return std::string(cookie);
  }
  return "";
}

std::string SessionCookies::Make(Page page, absl::string_view token, int seconds) const {
  return absl::StrCat(Name(page), "=", token, "; Path=/; Max-Age=", seconds,
                      "; HttpOnly; SameSite=Strict", secure_ ? "; Secure" : "");
}

std::string SessionCookies::Set(Page page, absl::string_view token) const {
  return Make(
      page, token,
      page == Page::kDashboard ? rpc::kDashboardSessionSeconds : rpc::kLabelingSessionSeconds);
}

std::string SessionCookies::Clear(Page page) const { return Make(page, "", 0); }

}  // namespace backflip::preference_broker
