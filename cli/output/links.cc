#include "cli/output/links.h"

#include <qrencode.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/people.grpc.pb.h"
#include "cli/launcher/subprocess.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

// Width of the light border that the standard asks for, in modules.
constexpr int kQuietZone = 4;
constexpr char kInvite[] = "#invite=";

}  // namespace

absl::StatusOr<std::string> Invite(const client::BrokerClient& broker, const std::string& url,
                                   v1::InviteRequest request) {
  request.set_request_id(base::RandomHex128());
  ASSIGN_OR_RETURN(const v1::InviteResponse response,
                   broker.Call<v1::PeopleService>(&v1::PeopleService::Stub::Invite, request));
  const bool labels = request.role() == v1::INVITE_LABELER || request.role() == v1::INVITE_TEACHER;
  return absl::StrCat(url, labels ? "/" : "/dashboard", kInvite, response.secret());
}

absl::StatusOr<std::string> RunLink(const client::BrokerClient& broker, const std::string& url,
                                    int64_t run_id, v1::InviteRole role) {
  const bool operates = role == v1::INVITE_OPERATOR;
  const char* const name = operates                      ? "operator"
                           : role == v1::INVITE_REVIEWER ? "reviewer"
                                                         : "human";
  v1::InviteRequest request;
  request.set_role(role);
  // a name can be used once; nobody needs to know this one
  request.set_name(absl::StrCat(name, "-", base::RandomHex128().substr(0, 6)));
  if (!operates) request.add_run_ids(run_id);
  request.set_expires_ms(absl::ToUnixMillis(absl::Now() + absl::Hours(operates ? 1 : 24)));
  ASSIGN_OR_RETURN(const std::string link, Invite(broker, url, std::move(request)));
  return absl::StrCat(link, "&run=", run_id);
}

bool LetsIn(const client::BrokerClient& broker, const std::string& link) {
  const std::string after = link.substr(link.find(kInvite) + sizeof(kInvite) - 1);
  v1::DescribeInviteRequest request;
  request.set_secret(after.substr(0, after.find('&')));
  return broker.Call<v1::PeopleService>(&v1::PeopleService::Stub::DescribeInvite, request).ok();
}

absl::StatusOr<std::string> QrCode(const std::string& text) {
  const std::unique_ptr<QRcode, decltype(&QRcode_free)> code(
      QRcode_encodeString(text.c_str(), 0, QR_ECLEVEL_L, QR_MODE_8, 1), QRcode_free);
  if (code == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("a link of ", text.size(), " bytes fits no QR code"));
  }
  const auto dark = [&](int x, int y) {
    return x >= 0 && y >= 0 && x < code->width && y < code->width &&
           (code->data[y * code->width + x] & 1) != 0;
  };
  // two modules a character: black on white, in colours of its own
  std::string picture;
  for (int y = -kQuietZone; y < code->width + kQuietZone; y += 2) {
    absl::StrAppend(&picture, "\033[30;107m");
    for (int x = -kQuietZone; x < code->width + kQuietZone; ++x) {
      const bool top = dark(x, y), bottom = dark(x, y + 1);
      absl::StrAppend(&picture, top ? (bottom ? "█" : "▀") : (bottom ? "▄" : " "));
    }
    absl::StrAppend(&picture, "\033[0m\n");
  }
  return picture;
}

bool OpenInBrowser(const std::string& link) {
  if (std::getenv("DISPLAY") == nullptr && std::getenv("WAYLAND_DISPLAY") == nullptr) {
    return false;
  }
  const char* path = std::getenv("PATH");
  bool found = false;
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    found = found || access(absl::StrCat(folder, "/xdg-open").c_str(), X_OK) == 0;
  }
  if (!found) return false;
  const absl::StatusOr<pid_t> opener = Spawn({.argv = {"xdg-open", link}, .log_file = "/dev/null"});
  if (!opener.ok()) return false;
  // it may be the browser itself, and live as long
  std::thread([pid = *opener] { waitpid(pid, nullptr, 0); }).detach();
  return true;
}

}  // namespace backflip::cli
