// How reliable the reward loss estimates labelers to be.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RELIABILITY_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RELIABILITY_H_

#include "absl/status/status.h"
#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// Replaces what was reported of the run before. Expects a checked request. NOT_FOUND names a
// number that is none of the run's labelers.
absl::Status ReportReliability(Connection& connection, const Caller& caller,
                               const v1::ReportReliabilityRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RELIABILITY_H_
