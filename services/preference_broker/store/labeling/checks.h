// Questions made for one labeler, which check their answers: gold pairs, repeats of their own
// answers, and the qualification. Clients are never told which questions are checks, except
// those for practice.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_CHECKS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_CHECKS_H_

#include <optional>
#include <vector>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Made, and open for its labeler to lease.
struct MadeQuestion {
  int64_t id = 0;
  // Repeats show the sides swapped; unset: as drawn.
  std::optional<bool> turned;
};

// How many pairs are left of a qualification of `wanted`, or of as many as the run has gold
// pairs for. Pairs that the caller has leased and not answered count as left.
int32_t QualificationLeft(Transaction& t, int64_t caller_id, int64_t run_id, int32_t wanted);
// Makes questions of qualification pairs that the caller has neither leased nor answered, at
// most `count`.
std::vector<MadeQuestion> MakeQualification(Transaction& t, int64_t caller_id, int64_t run_id,
                                            int32_t count);

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
