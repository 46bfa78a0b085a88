#include "cli/values.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace backflip::cli {

absl::StatusOr<int64_t> ParseId(absl::string_view text, absl::string_view what) {
  int64_t id = 0;
  if (absl::SimpleAtoi(text, &id) && id >= 1) return id;
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no ", what));
}

absl::StatusOr<int64_t> ParseRun(absl::string_view text) {
  return ParseId(text, "run; `backflip runs` lists them");
}

absl::StatusOr<std::vector<int64_t>> ParseRuns(absl::string_view flag, const std::string& text) {
  std::vector<int64_t> runs;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    int64_t run = 0;
    if (!absl::SimpleAtoi(part, &run) || run < 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", flag, " is '", text, "'; it takes numbers of runs with commas between them"));
    }
    runs.push_back(run);
  }
  return runs;
}

absl::StatusOr<Snapshot> ParseSnapshot(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '@');
  Snapshot snapshot;
  ASSIGN_OR_RETURN(snapshot.run_id, ParseRun(parts[0]));
  if (parts.size() > 2 || (parts.size() == 2 && (!absl::SimpleAtoi(parts[1], &snapshot.version) ||
                                                 snapshot.version < 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no snapshot; say RUN, or RUN@VERSION, such as 1@12"));
  }
  return snapshot;
}

absl::StatusOr<absl::Time> ParseMoment(absl::string_view flag, const std::string& text,
                                       absl::Time now, bool future) {
  absl::Duration distance;
  absl::string_view digits = text;
  int64_t days = 0;
  if (absl::ConsumeSuffix(&digits, "d") && absl::SimpleAtoi(digits, &days)) {
    distance = days * absl::Hours(24);
  } else if (!absl::ParseDuration(text, &distance)) {
    absl::Time time;
    std::string ignored;
    for (const char* format : {"%Y-%m-%d", "%Y-%m-%d%ET%H:%M", absl::RFC3339_sec}) {
      if (absl::ParseTime(format, text, absl::LocalTimeZone(), &time, &ignored)) return time;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, " is '", text,
                     "'; say a day (2026-12-01), a moment (2026-12-01T18:30), or how long ",
                     future ? "from now" : "ago", " (7d, 12h, 30m)"));
  }
  if (distance < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, " is '", text, "', but must not be negative"));
  }
  return future ? now + distance : now - distance;
}

}  // namespace backflip::cli
