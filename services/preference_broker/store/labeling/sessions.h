// What labelers see of their own work, the guide they read first, and paid waiting.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_SESSIONS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_SESSIONS_H_

#include <cstdint>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"
#include "services/preference_broker/store/runs/run_cache.h"

namespace backflip::preference_broker {

// `run_id` 0: the newest run that the caller may answer for; where there is none, only what
// is known of the caller. NOT_FOUND, PERMISSION_DENIED: as of LeaseQuestions.
absl::StatusOr<v1::Session> GetSession(Connection& connection, RunCache& runs, const Caller& caller,
                                       int64_t run_id);
// From then on the caller has read it.
absl::StatusOr<v1::Guide> GetGuide(Connection& connection, RunCache& runs, const Caller& caller,
                                   int64_t run_id);

// Most that is credited for waiting from one answer to the next: a page that is left open
// over night is not work.
inline constexpr int64_t kMostWaitingMs = 15 * 60 * 1000;

// What is credited to a labeler, over all runs, is credited by one transaction after the other,
// each of which sees what the one before it credited: to be called before that is read. Taken after
// locks of questions and leases; nothing but rows of the caller's time is locked under it.
void LockPaidTime(Transaction& t, int64_t caller_id);

// The caller has waited `waited_ms` for a question of the run (0: of the newest that they
// may answer for). Credits at most what has passed since they last answered or waited, and
// at most kMostWaitingMs, over all runs, from one answer to the next; nothing for a run that has
// ended.
absl::Status CreditWaiting(Connection& connection, const Caller& caller, int64_t run_id,
                           int64_t waited_ms);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_SESSIONS_H_
