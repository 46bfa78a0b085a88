// Values of the command line that are more than a word: runs, snapshots, moments.
#ifndef BACKFLIP_CLI_VALUES_H_
#define BACKFLIP_CLI_VALUES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace backflip::cli {

// A run's number. INVALID_ARGUMENT otherwise.
absl::StatusOr<int64_t> ParseRun(absl::string_view text);

// "1,2" as {1, 2}. INVALID_ARGUMENT names the flag.
absl::StatusOr<std::vector<int64_t>> ParseRuns(absl::string_view flag, const std::string& text);

// A policy of a run.
struct Snapshot {
  int64_t run_id = 0;
  // 0: none was named.
  int64_t version = 0;
};

// RUN or RUN@VERSION. INVALID_ARGUMENT otherwise.
absl::StatusOr<Snapshot> ParseSnapshot(absl::string_view text);

// "2026-12-01", "2026-12-01T18:30" (both local), RFC 3339, or a distance from `now` such as "7d",
// "12h", "30m", to the future or the past. INVALID_ARGUMENT names the flag.
absl::StatusOr<absl::Time> ParseMoment(absl::string_view flag, const std::string& text,
                                       absl::Time now, bool future);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_VALUES_H_
