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

// Open for its labeler to lease; its row is locked, or made in this transaction.
struct MadeQuestion {
  int64_t id = 0;
  // Repeats show the sides swapped; unset: as drawn.
  std::optional<bool> turned;
};

// How a labeler stands in a run's qualification: tries of as many pairs as it wants, or as the run
// has gold pairs for, until one has its share of right answers. The first answer to a pair counts
// in each, since it is told then what was right.
struct Qualification {
  // Pairs of this try that are not answered yet, and how many of those the caller holds.
  int32_t left = 0;
  int32_t held = 0;
  // The pairs of this try that are answered.
  std::vector<int64_t> tried;
  // No try is left. Tries before an operator resumed the labeler are not counted.
  bool failed = false;
  // How the try before went: a sentence for the labeler; empty: there was none.
  std::string message;
};
Qualification QualificationOf(Transaction& t, int64_t caller_id, const LabelingConfig& run);
// The question of a qualification pair that the caller does not hold and that is none of `tried`,
// of those that they have answered least often: the one that they let expire, or else a new one.
// nullopt: there is none.
std::optional<MadeQuestion> MakeQualification(Transaction& t, int64_t caller_id, int64_t run_id,
                                              const std::vector<int64_t>& tried);
// Pauses a labeler who has no try left, with the message, and ends their leases. Audited.
void PauseUnqualified(Transaction& t, int64_t caller_id, int64_t run_id,
                      const std::string& message);

// A gold pair that the caller neither holds nor has answered, chosen by `draw`; nullopt: none is
// left. One that they let expire is the same question again, here and below.
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
