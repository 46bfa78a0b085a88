// What is known of labelers: how well they answer, and what they are paid for.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_LABELERS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_LABELERS_H_

#include <cstdint>

#include "backflip/v1/people.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Statistics of labelers and teachers: in one run, of all who may answer for it or have; or in
// all runs (run_id 0), where labels that were copied from one run into another count once.
// Dawid and Skene's estimate is given of labelers with five or more answers to questions that
// others have answered too.
absl::StatusOr<v1::ListLabelersResponse> LabelerStatistics(Connection& connection, int64_t run_id);

// Work to be paid: everybody who answered or waited in the span. Labels that were imported or
// copied are left out. Minutes are stored by day (UTC), so they are those of every day that the
// span touches.
absl::StatusOr<v1::StatementResponse> Statement(Connection& connection,
                                                const v1::StatementRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_LABELERS_H_
