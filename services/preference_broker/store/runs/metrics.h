// Metrics and evaluations of runs.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_METRICS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_METRICS_H_

#include <cstdint>
#include <vector>

#include "backflip/v1/run.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

absl::Status ReportMetrics(Connection& connection, const Caller& caller,
                           const v1::ReportMetricsRequest& request);
absl::StatusOr<v1::ListMetricsResponse> ListMetrics(Connection& connection,
                                                    const v1::ListMetricsRequest& request);
// Stores the episodes, and updates the metric points `true_return` and one for each task metric:
// means over all of the policy version's episodes that are not final. Refused as CheckServes says.
absl::Status ReportEvaluation(Connection& connection, const Caller& caller,
                              const v1::ReportEvaluationRequest& request);
absl::StatusOr<std::vector<v1::Evaluation>> ListEvaluations(Connection& connection, int64_t run_id);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_METRICS_H_
