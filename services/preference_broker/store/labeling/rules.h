// Rules that a labeler's answers must not break: they are warned once, and paused
// when it goes on.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RULES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RULES_H_

#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/runs/run_cache.h"

namespace backflip::preference_broker {

// Looks at a labeler's newest answers in a run, after one of them. A rule of the
// run's `quality` that is broken warns; one that is broken within
// `rule_window` answers of a warning pauses; after so many without it the warning
// is forgotten. Both are audited, and told to the labeler in `reason`.
absl::Status EnforceRules(Connection& connection, RunCache& runs, int64_t caller_id,
                          int64_t run_id);

// Milliseconds that a clip takes at its own speed: an answer before that has
// not seen it.
double ClipMillis(const v1::TaskInfo& task);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RULES_H_
