// Deleting runs, and what nothing needs any more.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_DELETION_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_DELETION_H_

#include "backflip/v1/operation.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// As the methods of OperationService say; requests are checked before. Both may take minutes.
absl::StatusOr<v1::DeleteRunResponse> DeleteRun(Connection& connection, const Caller& caller,
                                                const v1::DeleteRunRequest& request);
absl::StatusOr<v1::CollectGarbageResponse> CollectGarbage(Connection& connection,
                                                          const Caller& caller,
                                                          const v1::CollectGarbageRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_DELETION_H_
