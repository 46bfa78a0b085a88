// What is known of labelers: how well they answer, and what they are paid for.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_LABELERS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_LABELERS_H_

#include <cstdint>

#include "backflip/v1/people.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Every labeler and teacher with what is known of them, in all runs (run_id 0)
// or in one: those who may answer for it, or have. Counts of all runs leave out
// labels that were copied from one run into another. Dawid and Skene's estimate
// is of labelers with five or more answers where answers overlap.
absl::StatusOr<v1::ListLabelersResponse> LabelerStatistics(Connection& connection, int64_t run_id);

// Everybody who answered or waited in the span. Labels that were imported or
// copied are nobody's work. Minutes are kept by day (UTC): they are those of
// every day that the span touches.
absl::StatusOr<v1::StatementResponse> Statement(Connection& connection,
                                                const v1::StatementRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_LABELERS_H_
