// Questions made for one labeler, which check their answers: gold pairs, repeats of
// their own, and the qualification. Which question is one never leaves the
// broker, but for practice.
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

// What is left of a qualification of `wanted` pairs, as far as there are gold
// pairs for it. Gold pairs that the caller holds count as left.
int32_t QualificationLeft(Transaction& t, int64_t caller_id, int64_t run_id, int32_t wanted);
// Pairs of it that the caller neither holds nor has answered, at most `count`.
std::vector<MadeQuestion> MakeQualification(Transaction& t, int64_t caller_id, int64_t run_id,
                                            int32_t count);

// A gold pair that the caller neither holds nor has answered, chosen by `draw`;
// nullopt: there is none left.
std::optional<MadeQuestion> MakeGold(Transaction& t, int64_t caller_id, int64_t run_id,
                                     uint64_t draw);

// One of the caller's own answered questions of at most `max_clips` clips, at
// least kRepeatAfter answers old and not repeated before, chosen by `draw`;
// nullopt: there is none.
inline constexpr int64_t kRepeatAfter = 20;
std::optional<MadeQuestion> MakeRepeat(Transaction& t, int64_t caller_id, int64_t run_id,
                                       int32_t max_clips, uint64_t draw);

// Whether `answer`, as the sides were shown, is what is known of a gold pair.
v1::Feedback FeedbackOn(Transaction& t, int64_t gold_id, bool turned, const v1::Answer& answer);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_CHECKS_H_
