// The state of a run, as text for a terminal or a log.
#ifndef BACKFLIP_CLI_OUTPUT_STATUS_BLOCK_H_
#define BACKFLIP_CLI_OUTPUT_STATUS_BLOCK_H_

#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "backflip/v1/run.pb.h"

namespace backflip::cli {

// Speed and what is left of a run, from how its steps grew. Steps per second
// are those of the last half minute.
class Pace {
 public:
  void Add(absl::Time now, int64_t steps);
  // 0 until steps were seen to grow.
  double steps_per_second() const;
  // Unset while the speed is not known.
  std::optional<absl::Duration> Remaining(int64_t steps) const;

 private:
  std::deque<std::pair<absl::Time, int64_t>> points_;
};

// "1.2 M", "340 k", "17".
std::string Short(double number);
// "1:02:03" or "2:03".
std::string Clock(absl::Duration duration);
// RUNNING as "running".
std::string StateName(v1::RunState state);
// What a run waits for: "waiting for labels", or empty.
std::string LimitText(v1::Limit limit);

// The block: a few lines of at most `columns` characters, the last of them the
// progress bar.
std::vector<std::string> StatusBlock(const v1::Run& run, const Pace& pace, absl::Duration elapsed,
                                     int columns);

// The same in one line.
std::string StatusLine(const v1::Run& run, const Pace& pace, absl::Duration elapsed);

// Shows one block in place on a terminal; elsewhere a plain line every ten
// seconds. Not thread-safe.
class LiveStatus {
 public:
  // `out` is not owned.
  explicit LiveStatus(std::FILE* out);

  void Show(const v1::Run& run, const Pace& pace, absl::Duration elapsed);
  // A sentence that stays, above the block.
  void Say(const std::string& sentence);
  // What to say, by a function that may block, once the run has waited for labels for two minutes
  // in which none came, and again each time that this has doubled.
  void RemindWhileWaiting(std::function<std::string()> sentence);
  // Leaves the last block on the terminal.
  void Finish();

 private:
  void Erase();
  void RemindIfDue(const v1::Run& run, absl::Duration elapsed);

  std::FILE* const out_;
  const bool terminal_;
  std::vector<std::string> block_;
  absl::Time last_line_ = absl::InfinitePast();
  std::function<std::string()> reminder_;
  // Since when, in `elapsed`, the run has waited with so many labels, and when to remind next.
  absl::Duration waiting_since_, next_reminder_;
  int64_t waiting_labels_ = -1;
};

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_STATUS_BLOCK_H_
