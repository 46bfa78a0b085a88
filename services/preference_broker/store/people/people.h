// People: their state, and what operators take back of their work.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_PEOPLE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_PEOPLE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "backflip/v1/people.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// From callers.state.
v1::LabelerState LabelerStateFromField(const pqxx::field& field);

// The one rule of who undoes what: what an operator did, operators alone undo. PERMISSION_DENIED:
// the caller is none, and `what` was done by one.
absl::Status CheckMayUndo(const Caller& caller, bool by_operator, absl::string_view what);

// A pause that an operator made is an operator's to end, or to give another reason.
absl::StatusOr<v1::Labeler> SetLabelerState(Connection& connection, const Caller& caller,
                                            const v1::SetLabelerStateRequest& request);
absl::StatusOr<v1::ForgetLabelerResponse> ForgetLabeler(Connection& connection,
                                                        const Caller& caller,
                                                        const v1::ForgetLabelerRequest& request);

// Voids a group's labeler's tokens, and lets their outside id in once more. FAILED_PRECONDITION:
// they are of no group, or revoked.
absl::StatusOr<v1::Labeler> ResetLabeler(Connection& connection, const Caller& caller,
                                         const v1::ResetLabelerRequest& request);

struct RetractedLabels {
  v1::RetractLabelsResponse response;
  // Runs whose feeds have new entries.
  std::vector<int64_t> run_ids;
};
absl::StatusOr<RetractedLabels> RetractLabels(Connection& connection, const Caller& caller,
                                              const v1::RetractLabelsRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_PEOPLE_H_
