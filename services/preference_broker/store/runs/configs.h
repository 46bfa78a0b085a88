// With which flags the programs of a run were started.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_CONFIGS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_CONFIGS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/config.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// Stores the caller's and the broker's, where the run does not have them yet; beyond 1,000 of a run
// nothing is stored. A worker is refused as CheckServes says. NOT_FOUND: there is no such run.
absl::Status ReportConfig(Connection& connection, const Caller& caller,
                          const v1::ReportConfigRequest& request, const std::string& of_broker);
// NOT_FOUND: there is no such run.
absl::StatusOr<v1::ListConfigsResponse> ListConfigs(Connection& connection, int64_t run_id);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_CONFIGS_H_
