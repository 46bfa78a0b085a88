// Invites: who is let in by a link, and the places of a group. A place is taken by Start and comes
// back when its labeler is revoked, or after an hour when somebody else wants it, as long as they
// have answered nothing but practice.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_INVITES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_INVITES_H_

#include <string>

#include "backflip/v1/people.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// `request` checked before. ALREADY_EXISTS: the name is taken, or the request
// id was used for another invite. NOT_FOUND: no such run.
absl::StatusOr<v1::InviteResponse> MakeInvite(Connection& connection, const Caller& caller,
                                              const v1::InviteRequest& request);
absl::StatusOr<v1::InviteDescription> DescribeInvite(Connection& connection,
                                                     const std::string& secret);
// `old_token`: the token that the call carries, of whomever; empty: none. Errors as
// PeopleService.AcceptInvite has them.
absl::StatusOr<v1::AcceptInviteResponse> AcceptInvite(Connection& connection,
                                                      const v1::AcceptInviteRequest& request,
                                                      const std::string& old_token);

// Gives the place of a labeler back who is in a group and has answered nothing but practice.
void ReleasePlace(Transaction& t, int64_t caller_id);

// Invites for the caller's runs alone.
absl::StatusOr<v1::ListInvitesResponse> ListInvites(Connection& connection, const Caller& caller,
                                                    const v1::ListInvitesRequest& request);
// NOT_FOUND: no such invite. PERMISSION_DENIED: it is for other runs than the caller's.
absl::StatusOr<v1::InviteState> WithdrawInvite(Connection& connection, const Caller& caller,
                                               int64_t invite_id);
// As above. FAILED_PRECONDITION: the invite is no group's, or more places are taken.
absl::StatusOr<v1::InviteState> SetInviteCap(Connection& connection, const Caller& caller,
                                             const v1::SetInviteCapRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_INVITES_H_
