// Addresses of the pages for people: where the broker listens, and the URL for browsers.
#ifndef BACKFLIP_CLI_LAUNCHER_PAGES_H_
#define BACKFLIP_CLI_LAUNCHER_PAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace backflip::cli {

// Flags of `backflip train` about the pages.
struct PagesOptions {
  // Open to other machines: with a certificate, or behind a proxy whose URL is `public_url`.
  bool share = false;
  // host:port. Empty: port 7480, or a free one where that is taken; at every
  // address of this machine where shared with a certificate, else on loopback.
  std::string listen;
  // PEM files, both or neither.
  std::string tls_certificate, tls_key;
  std::string public_url;
};

struct PagesAddress {
  std::string listen;
  // Without a slash at the end.
  std::string url;
};

// INVALID_ARGUMENT, with the way out: shared with neither a certificate nor a
// proxy's URL; a certificate without its key; files that cannot be read;
// open to others, or any of it, without `share`. FAILED_PRECONDITION: the port that a
// proxy would know is taken.
absl::StatusOr<PagesAddress> ChoosePagesAddress(const PagesOptions& options);

// https://host[:port], or http:// where the host is this machine; a slash at
// the end is taken off. INVALID_ARGUMENT otherwise.
absl::StatusOr<std::string> CheckPublicUrl(absl::string_view url);

// `port`, or for 0 one that the system gives; 0 where nobody can listen there.
int FreePort(int port, bool everywhere);

// Whether only this machine can follow links of this URL.
bool OnThisMachineAlone(absl::string_view url);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_LAUNCHER_PAGES_H_
