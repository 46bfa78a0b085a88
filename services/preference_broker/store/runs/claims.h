// Claims of learners and trainers on runs, and which worker serves which run.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_CLAIMS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_CLAIMS_H_

#include <optional>

#include "backflip/v1/work.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

inline constexpr int kMostAttempts = 5;
inline constexpr int kMostWorkerFailures = 3;

// ABORTED unless `epoch` is that of the run's newest claim for `role`, and that was not released.
// No other claim is made until the transaction ends.
absl::Status CheckEpoch(Transaction& t, int64_t run_id, Role role, int64_t epoch);

// A claim came to something: those before it that did not are forgotten.
void NoteProgress(Transaction& t, int64_t run_id, Role role);

// The claimant's live claim, or a new one on the oldest run that wants the
// role, those last whose claims came to nothing; nullopt when there is none. A run on which
// kMostAttempts claims in a row ran out, or were given back for trouble, is FAILED.
absl::StatusOr<std::optional<v1::ClaimResponse>> Claim(Connection& connection, const Caller& caller,
                                                       const v1::ClaimRequest& request,
                                                       int32_t lease_ms);
absl::StatusOr<v1::RunState> RenewClaim(Connection& connection, const Caller& caller,
                                        const v1::RenewClaimRequest& request, int32_t lease_ms);
absl::Status ReleaseClaim(Connection& connection, const Caller& caller,
                          const v1::ReleaseClaimRequest& request);
absl::Status CompleteBatch(Connection& connection, const Caller& caller,
                           const v1::CompleteBatchRequest& request);

// The worker could not begin to serve `request.failed_run_id`. A run that no worker serves is
// FAILED after kMostWorkerFailures such reports since its last batch, with the last one's reason.
// Of a run that was not assigned to the caller a report counts for nothing.
absl::Status ReportWorkerFailure(Connection& connection, const Caller& caller,
                                 const v1::AssignWorkRequest& request);

// nullopt: no learner wants steps, or only of runs that the worker failed a moment ago.
absl::StatusOr<std::optional<v1::Assignment>> AssignWork(Connection& connection,
                                                         const Caller& caller,
                                                         const v1::AssignWorkRequest& request);
// Whether a worker may write to a run what was made in batch `iteration`. PERMISSION_DENIED: the
// run was not assigned to a worker of this caller within the last hour. FAILED_PRECONDITION: it
// ended ten minutes ago, or the batch cannot have begun.
absl::Status CheckServes(Transaction& t, const Caller& caller, int64_t run_id, int64_t iteration);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_CLAIMS_H_
