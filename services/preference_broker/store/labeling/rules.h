// Rules for labelers' answers. Who breaks one is warned, and paused if it happens again.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RULES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RULES_H_

#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/runs/run_cache.h"

namespace backflip::preference_broker {

// Checks a labeler's newest answers in a run, after one of them. Breaking a rule of the run's
// `quality` warns; breaking one within `rule_window` answers of a warning pauses; after
// `rule_window` answers without, the warning is forgotten. A pause ends their leases.
// Both are audited, and the labeler reads why in `reason`.
absl::Status EnforceRules(Connection& connection, RunCache& runs, int64_t caller_id,
                          int64_t run_id);

// Milliseconds that a clip takes at its own speed: an answer before that was given without
// seeing all of it.
double ClipMillis(const v1::TaskInfo& task);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RULES_H_
