// What a labeler sees of their own work, and what they are told before it.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_SESSIONS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_SESSIONS_H_

#include <cstdint>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"
#include "services/preference_broker/store/runs/run_cache.h"

namespace backflip::preference_broker {

// `run_id` 0: the newest that the caller may answer for; none of a run where
// there is none. NOT_FOUND, PERMISSION_DENIED: as of LeaseQuestions.
absl::StatusOr<v1::Session> GetSession(Connection& connection, RunCache& runs, const Caller& caller,
                                       int64_t run_id);
// Counts as read from now on.
absl::StatusOr<v1::Guide> GetGuide(Connection& connection, RunCache& runs, const Caller& caller,
                                   int64_t run_id);

// What a labeler waits without giving an answer is work for so long: a page
// that is left open over night is not.
inline constexpr int64_t kMostWaitingMs = 15 * 60 * 1000;

// The caller has waited for a question of the run (0: of the newest they may
// answer for). No more is credited than has passed since they last answered or
// waited, and than kMostWaitingMs, over all runs, from one answer to the next.
absl::Status CreditWaiting(Connection& connection, const Caller& caller, int64_t run_id,
                           int64_t waited_ms);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_SESSIONS_H_
