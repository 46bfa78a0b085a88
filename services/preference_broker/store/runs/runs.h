// Runs: made, forked, continued, ended.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RUNS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RUNS_H_

#include <string>
#include <vector>

#include "backflip/v1/run.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// `request.spec` merged and checked before. Idempotent by request_id.
absl::StatusOr<v1::Run> CreateRun(Connection& connection, const Caller& caller,
                                  const v1::CreateRunRequest& request);
// The new run begins with the labels of the old one. Idempotent by request_id.
absl::StatusOr<v1::Run> ForkRun(Connection& connection, const Caller& caller,
                                const v1::ForkRunRequest& request);
// Metrics include true returns: `with_metrics` only for callers that may know them.
absl::StatusOr<v1::Run> GetRun(Connection& connection, int64_t run_id, bool with_metrics);
absl::StatusOr<v1::Run> GetRun(Transaction& t, int64_t run_id, bool with_metrics);
// The runs that the caller may see, newest first; with an id below `before`, unless that is 0.
absl::StatusOr<std::vector<v1::Run>> ListRuns(Connection& connection, const Caller& caller,
                                              int64_t before, int32_t limit);
absl::StatusOr<v1::Run> ContinueRun(Connection& connection, const Caller& caller,
                                    const v1::ContinueRunRequest& request);
absl::StatusOr<v1::Run> CancelRun(Connection& connection, const Caller& caller,
                                  const v1::CancelRunRequest& request);

// From then on, no question of the run is leased or opened. Idempotent.
absl::StatusOr<v1::Run> StopAsking(Connection& connection, const Caller& caller, int64_t run_id);

// A run's spec and task, by which its input is checked.
struct RunDefinition {
  v1::RunSpec spec;
  v1::TaskInfo task;
};
absl::StatusOr<RunDefinition> GetRunDefinition(Connection& connection, int64_t run_id);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RUNS_H_
