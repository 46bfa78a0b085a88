// People: their invites, their state, and what operators take back of their work.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_PEOPLE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_PEOPLE_H_

#include <string>
#include <vector>

#include "backflip/v1/people.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// From callers.state.
v1::LabelerState LabelerStateFromField(const pqxx::field& field);

// `request` checked before. ALREADY_EXISTS: the name is taken, or the request
// id was used for another invite. NOT_FOUND: no such run.
absl::StatusOr<v1::InviteResponse> MakeInvite(Connection& connection, const Caller& caller,
                                              const v1::InviteRequest& request);
absl::StatusOr<v1::InviteDescription> DescribeInvite(Connection& connection,
                                                     const std::string& secret);
absl::StatusOr<v1::AcceptInviteResponse> AcceptInvite(Connection& connection,
                                                      const v1::AcceptInviteRequest& request);

absl::StatusOr<v1::Labeler> SetLabelerState(Connection& connection, const Caller& caller,
                                            const v1::SetLabelerStateRequest& request);
absl::StatusOr<v1::ForgetLabelerResponse> ForgetLabeler(Connection& connection,
                                                        const Caller& caller,
                                                        const v1::ForgetLabelerRequest& request);

struct RetractedLabels {
  v1::RetractLabelsResponse response;
  // Runs whose feeds have new entries.
  std::vector<int64_t> run_ids;
};
absl::StatusOr<RetractedLabels> RetractLabels(Connection& connection, const Caller& caller,
                                              const v1::RetractLabelsRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_PEOPLE_H_
