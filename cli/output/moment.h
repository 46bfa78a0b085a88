// Moments as tables of the command line show them.
#ifndef BACKFLIP_CLI_OUTPUT_MOMENT_H_
#define BACKFLIP_CLI_OUTPUT_MOMENT_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace backflip::cli {

// Milliseconds since the epoch as "2026-12-01 18:30", local; "-" for 0.
inline std::string MomentText(int64_t ms) {
  if (ms == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixMillis(ms), absl::LocalTimeZone());
}

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_MOMENT_H_
