// Questions made for one labeler, which check their answers: gold pairs, repeats of their own
// answers, and the qualification. Clients are never told which questions are checks, except
// those for practice.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_CHECKS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_CHECKS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/runs/run_cache.h"

namespace backflip::preference_broker {

// Made, and open for its labeler to lease.
struct MadeQuestion {
  int64_t id = 0;
  // Repeats show the sides swapped; unset: as drawn.
  std::optional<bool> turned;
};

// How a labeler stands in a run's qualification: tries of as many pairs as it wants, or as the run
// has gold pairs for, until one has its share of right answers. The first answer to a pair counts,
// since it is told then what was right.
struct Qualification {
  // Pairs of this try that are not answered yet, and how many of those the caller holds.
  int32_t left = 0;
  int32_t held = 0;
  // No try is left. Tries before an operator resumed the labeler are not counted.
  bool failed = false;
  // How the try before went: a sentence for the labeler; empty: there was none.
  std::string message;
};
Qualification QualificationOf(Transaction& t, int64_t caller_id, const LabelingConfig& run);
// Makes at most `count` questions of qualification pairs that the caller does not hold, those that
// they have answered least often first.
std::vector<MadeQuestion> MakeQualification(Transaction& t, int64_t caller_id, int64_t run_id,
                                            int32_t count);
// Pauses a labeler who has no try left, with the message, and ends their leases. Audited.
void PauseUnqualified(Transaction& t, int64_t caller_id, int64_t run_id,
                      const std::string& message);

// A gold pair that the caller has neither leased nor answered, chosen by `draw`; nullopt: none
// is left.
std::optional<MadeQuestion> MakeGold(Transaction& t, int64_t caller_id, int64_t run_id,
                                     uint64_t draw);

// One of the caller's own answered questions of at most `max_clips` clips, at
// least kRepeatAfter answers ago and not repeated before, chosen by `draw`; nullopt: there is
// none.
inline constexpr int64_t kRepeatAfter = 20;
std::optional<MadeQuestion> MakeRepeat(Transaction& t, int64_t caller_id, int64_t run_id,
                                       int32_t max_clips, uint64_t draw);

// Whether `answer`, given as the sides were shown, is a gold pair's known one.
v1::Feedback FeedbackOn(Transaction& t, int64_t gold_id, bool turned, const v1::Answer& answer);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_CHECKS_H_
