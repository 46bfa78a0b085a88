// Rules for labelers' answers. Who breaks one is warned, and paused if it happens again.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RULES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RULES_H_

#include <algorithm>
#include <limits>

#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/runs/run_cache.h"

namespace backflip::preference_broker {

// Whether a labeler's answers came faster than they could have looked at one clip after the other.
// Answers that they had ready (a page that was cut off sends them all at once) fit between lease
// and answer, each for itself; of questions leased together only as many do as clips fit. Times in
// milliseconds on one clock.
class Pace {
 public:
  // Answers in their order. `decision_ms` 0: the client does not say. True: faster than the clip.
  bool IsFast(double leased, double answered, double decision_ms, double clip_ms) {
    const double begin = std::max(leased, busy_until_);
    busy_until_ = begin + clip_ms;
    const double took = answered - begin;
    return (decision_ms > 0 ? std::min(took, decision_ms) : took) < clip_ms;
  }

 private:
  double busy_until_ = -std::numeric_limits<double>::infinity();
};

// Checks a labeler's newest answers in a run, after one of them. Breaking a rule of the run's
// `quality` warns; breaking one within `rule_window` answers of a warning pauses; after
// `rule_window` answers without, the warning is forgotten. A pause ends their leases.
// Both are audited, and the labeler reads why in `reason`. `max_cannot_tells` is of answers that
// compare nothing, cannot tell and broken: so many in a row, or twice as many among the newest
// three times as many.
absl::Status EnforceRules(Connection& connection, RunCache& runs, int64_t caller_id,
                          int64_t run_id);

// Milliseconds that a clip takes at its own speed: an answer before that was given without
// seeing all of it.
double ClipMillis(const v1::TaskInfo& task);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RULES_H_
