// Values of the command line that are more than a word: runs, snapshots, moments.
#ifndef BACKFLIP_CLI_VALUES_H_
#define BACKFLIP_CLI_VALUES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"

namespace backflip::cli {

// A number of 1 or more. INVALID_ARGUMENT otherwise: "'x' is no " + what.
absl::StatusOr<int64_t> ParseId(absl::string_view text, absl::string_view what);
// A run's number.
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

// Sets run_id and since_ms of a request by the flags --run and --since, where they are given.
template <typename Request>
absl::Status SetRunAndSince(const std::string& run, const std::string& since, Request* request) {
  if (!run.empty()) {
    ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(run));
    request->set_run_id(run_id);
  }
  if (!since.empty()) {
    ASSIGN_OR_RETURN(const absl::Time time,
                     ParseMoment("since", since, absl::Now(), /*future=*/false));
    request->set_since_ms(absl::ToUnixMillis(time));
  }
  return absl::OkStatus();
}

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_VALUES_H_
