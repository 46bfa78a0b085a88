#include "cli/launcher/pages.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

// The port of the pages, if it is free: links of yesterday then find them.
constexpr int kPort = 7480;

// Whether this process, for as long as it lives, is the one whose broker may listen there: between
// a look at the port and that, another launcher may look.
bool IsOurs(int port) {
  static const bool ours = [port] {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    // behind a zero: no file, and gone with the process
    const std::string name = absl::StrCat("backflip-pages-", port);
    name.copy(address.sun_path + 1, sizeof(address.sun_path) - 1);
    const socklen_t size = offsetof(sockaddr_un, sun_path) + 1 + name.size();
    return fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0;
  }();
  return ours;
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "localhost";
}

// Without the port; an IPv6 address without its brackets.
std::string HostOf(absl::string_view address) {
  if (absl::ConsumePrefix(&address, "[")) {
    return std::string(address.substr(0, address.find(']')));
  }
  return std::string(address.substr(0, address.find(':')));
}

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
}

absl::Status CheckReadable(const char* flag, const std::string& path) {
  if (access(path.c_str(), R_OK) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, " is ", path, ", which cannot be read: ", std::strerror(errno)));
}

absl::Status Check(const PagesOptions& options) {
  const bool tls = !options.tls_certificate.empty();
  if (tls == options.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls-certificate and --tls-key go together: PEM files");
  }
  if (options.share) {
    if (!tls && options.public_url.empty()) {
      return absl::InvalidArgumentError(
          "--share opens the pages to other machines, so it takes TLS: --tls-certificate FILE "
          "--tls-key FILE, or a proxy with TLS in front and --public-url https://...");
    }
  } else if (tls || !options.public_url.empty()) {
    return absl::InvalidArgumentError(
        "--tls-certificate, --tls-key and --public-url say how the pages are shared: give --share, "
        "too");
  } else if (!options.listen.empty() && !IsLoopback(HostOf(options.listen))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--http-listen ", options.listen, " is open to other machines: give --share, too"));
  }
  if (!tls) return absl::OkStatus();
  RETURN_IF_ERROR(CheckReadable("--tls-certificate", options.tls_certificate));
  return CheckReadable("--tls-key", options.tls_key);
}

}  // namespace

int FreePort(int port, bool everywhere) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(everywhere ? INADDR_ANY : INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const bool free =
      bind(fd, generic, size) == 0 && listen(fd, 1) == 0 && getsockname(fd, generic, &size) == 0;
  close(fd);
  return free ? ntohs(address.sin_port) : 0;
}

absl::StatusOr<std::string> CheckPublicUrl(absl::string_view url) {
  url = absl::StripSuffix(url, "/");
  absl::string_view host = url;
  const bool http = absl::ConsumePrefix(&host, "http://");
  if ((!http && !absl::ConsumePrefix(&host, "https://")) || host.empty() ||
      host.find_first_of("/?#@ ") != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--public-url is '", url,
                     "'; it must be https:// and a host, with its port where that is not 443: "
                     "https://labels.example.org"));
  }
  if (http && !IsLoopback(HostOf(host))) {
    return absl::InvalidArgumentError(
        absl::StrCat("--public-url is '", url,
                     "': over http, whoever is on the way could take the link and answer in its "
                     "owner's name. It must be https://"));
  }
  return std::string(url);
}

bool OnThisMachineAlone(absl::string_view url) {
  if (!absl::ConsumePrefix(&url, "http://")) absl::ConsumePrefix(&url, "https://");
  return IsLoopback(HostOf(url));
}

absl::StatusOr<PagesAddress> ChoosePagesAddress(const PagesOptions& options) {
  RETURN_IF_ERROR(Check(options));
  const bool tls = !options.tls_certificate.empty();
  PagesAddress address;
  if (!options.public_url.empty()) {
    ASSIGN_OR_RETURN(address.url, CheckPublicUrl(options.public_url));
  }
  std::string host;
  int port = 0;
  if (options.listen.empty()) {
    if (IsOurs(kPort)) port = FreePort(kPort, tls);
    if (port == 0 && options.share && !tls) {
      return absl::FailedPreconditionError(
          absl::StrCat("port ", kPort,
                       " is taken, where a proxy would look for the pages. End what listens there, "
                       "or choose another: --http-listen 127.0.0.1:PORT"));
    }
    if (port == 0) port = FreePort(0, tls);
    if (port == 0) return absl::UnavailableError("no TCP port is free for the pages");
    host = tls ? HostName() : "127.0.0.1";
    address.listen = absl::StrCat(tls ? "0.0.0.0" : "127.0.0.1", ":", port);
  } else {
    const size_t colon = options.listen.rfind(':');
    if (colon == std::string::npos || colon == 0 ||
        !absl::SimpleAtoi(options.listen.substr(colon + 1), &port) || port < 1 || port > 65535) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--http-listen is '", options.listen, "'; it must be host:port, such as 127.0.0.1:7480"));
    }
    address.listen = options.listen;
    host = options.listen.substr(0, colon);
    if (host == "0.0.0.0" || host == "[::]") host = HostName();
  }
  if (address.url.empty()) {
    address.url = absl::StrCat(tls ? "https://" : "http://", host, ":", port);
  }
  return address;
}

}  // namespace backflip::cli
