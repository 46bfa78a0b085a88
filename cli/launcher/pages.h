// Where the pages for people are: what the broker listens at, and by what
// browsers reach it.
#ifndef BACKFLIP_CLI_LAUNCHER_PAGES_H_
#define BACKFLIP_CLI_LAUNCHER_PAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace backflip::cli {

// As the command line has it.
struct PagesOptions {
  // For other machines, too: by a certificate of its own, or behind a proxy that
  // browsers reach by `public_url`.
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

// Whether only this machine can follow links of this URL.
bool OnThisMachineAlone(absl::string_view url);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_LAUNCHER_PAGES_H_
