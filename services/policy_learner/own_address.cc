#include "services/policy_learner/own_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/rpc/transport.h"

namespace backflip::policy_learner {
namespace {

bool IsAllInterfaces(absl::string_view host) {
  return host == "0.0.0.0" || host == "[::]" || host == "::" || host.empty();
}

// The host's number on the interface by which `target` is reached.
absl::StatusOr<std::string> InterfaceTowards(const addrinfo& target) {
  const int descriptor = socket(target.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const absl::Cleanup close_it = [descriptor] { close(descriptor); };
  sockaddr_storage own;
  socklen_t size = sizeof(own);
  char host[NI_MAXHOST];
  // a datagram socket sends nothing when it connects: the kernel looks for the way
  if (connect(descriptor, target.ai_addr, target.ai_addrlen) != 0 ||
      getsockname(descriptor, reinterpret_cast<sockaddr*>(&own), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&own), size, host, sizeof(host), nullptr, 0,
                  NI_NUMERICHOST) != 0) {
    return absl::UnavailableError(std::strerror(errno));
  }
  return target.ai_family == AF_INET6 ? absl::StrCat("[", host, "]") : host;
}

}  // namespace

absl::StatusOr<std::string> OwnAddress(const std::string& address, const std::string& broker) {
  const size_t colon = address.rfind(':');
  if (absl::StartsWith(address, "unix:") ||
      !IsAllInterfaces(absl::string_view(address).substr(0, colon))) {
    return address;
  }
  const std::string port = address.substr(colon);
  // whoever comes to that broker is on this machine, too
  if (rpc::IsOnThisMachine(broker)) return absl::StrCat("127.0.0.1", port);
  absl::string_view host = absl::string_view(broker).substr(0, broker.rfind(':'));
  host = host.substr(host.rfind('/') + 1);  // dns:///host
  absl::ConsumePrefix(&host, "[");
  absl::ConsumeSuffix(&host, "]");
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(std::string(host).c_str(), port.c_str() + 1, &hints, &found);
  std::string why = error != 0 ? gai_strerror(error) : "";
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> targets(found, &freeaddrinfo);
  for (const addrinfo* target = found; target != nullptr; target = target->ai_next) {
    const absl::StatusOr<std::string> own = InterfaceTowards(*target);
    if (own.ok()) return absl::StrCat(*own, port);
    why = std::string(own.status().message());
  }
  return absl::UnavailableError(
      absl::StrCat("no address to be reached at: there is no way to the broker ", broker, " (", why,
                   "); give --advertise, or listen at one address"));
}

}  // namespace backflip::policy_learner
