// What reviewers and operators see of a run at a glance, and where answers disagree.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_REVIEW_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_REVIEW_H_

#include "backflip/v1/review.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// A run's revision, in one probe: whether a dashboard is out of date.
absl::StatusOr<int64_t> RunRevision(Connection& connection, int64_t run_id);

// Reads all answers to questions that several have answered, so it should not be called for
// every revision of a busy run.
absl::StatusOr<v1::Dashboard> ReadDashboard(Connection& connection, int64_t run_id);

// Most disagreement first; without those that all agree on.
absl::StatusOr<v1::ListDisagreementsResponse> ListDisagreements(
    Connection& connection, const v1::ListDisagreementsRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_REVIEW_H_
