// Workers: how a host is let in by a token that is good once, and cut off.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_WORKERS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_WORKERS_H_

#include <string>

#include "backflip/v1/workers.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// As the methods of WorkerService say; requests are checked before.
absl::StatusOr<v1::InviteWorkerResponse> InviteWorker(Connection& connection, const Caller& caller,
                                                      const v1::InviteWorkerRequest& request);
// Without the certificate.
absl::StatusOr<v1::JoinResponse> JoinWorker(Connection& connection, const v1::JoinRequest& request);
absl::StatusOr<v1::ListWorkersResponse> ListWorkers(Connection& connection);
absl::StatusOr<v1::Worker> RevokeWorker(Connection& connection, const Caller& caller,
                                        const std::string& name);
absl::StatusOr<v1::FindRefusedResponse> FindRefused(Connection& connection,
                                                    const v1::FindRefusedRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_WORKERS_H_
