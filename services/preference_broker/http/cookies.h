// The pages' sessions: a token in a cookie that no script can read.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_COOKIES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_COOKIES_H_

#include <string>

#include "absl/strings/string_view.h"
#include "backflip/v1/people.pb.h"

namespace backflip::preference_broker {

// Each page has a cookie of its own, so that a link for labeling leaves the session of an operator
// in the same browser alone.
enum class Page { kLabeling, kDashboard };

// The page that those who accept an invite of this role use.
Page PageOf(v1::InviteRole role);

class SessionCookies {
 public:
  SessionCookies() = default;
  // `url`: by which browsers reach this server. Where it is https, cookies are Secure. Servers on
  // other ports of one host have other cookies.
  explicit SessionCookies(const std::string& url);

  bool secure() const { return secure_; }
  // The token in a request's Cookie header; empty: none.
  std::string Read(Page page, absl::string_view cookies) const;
  // Values of Set-Cookie headers. Sessions last as common/rpc/sessions.h says.
  std::string Set(Page page, absl::string_view token) const;
  std::string Clear(Page page) const;

 private:
  std::string Name(Page page) const;
  std::string Make(Page page, absl::string_view token, int seconds) const;

  bool secure_ = false;
  // "-7480", or empty.
  std::string port_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_COOKIES_H_
