// Hosts of this machine.
#ifndef BACKFLIP_COMMON_BASE_LOOPBACK_H_
#define BACKFLIP_COMMON_BASE_LOOPBACK_H_

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace backflip::base {

// Whether `host` is localhost, or an address 127.x.y.z and no name that begins like one. IPv6 is
// written with brackets in some places and without in others: see the callers.
inline bool IsLoopback4(absl::string_view host) {
  return host == "localhost" || (absl::StartsWith(host, "127.") &&
                                 host.find_first_not_of("0123456789.") == absl::string_view::npos);
}

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_LOOPBACK_H_
