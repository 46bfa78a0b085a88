// Tokens as operators keep them. Only hashes are stored: a secret is told once, when it is made.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_TOKENS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_TOKENS_H_

#include <string>

#include "backflip/v1/operation.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// Gives the token that an earlier call with this id made another secret; 0: there was none.
// ALREADY_EXISTS: that call was for another caller.
absl::StatusOr<int64_t> RenewedSecret(Transaction& t, const std::string& request_id,
                                      const std::string& name, const std::string& hash);
// The caller of this name, made if it is new. ALREADY_EXISTS: it has another role.
// FAILED_PRECONDITION: it was revoked.
absl::StatusOr<int64_t> FindOrMakeCaller(Transaction& t, const std::string& name, Role role);

// As the methods of OperationService say; requests are checked before.
absl::StatusOr<v1::ListTokensResponse> ListTokens(Connection& connection,
                                                  const v1::ListTokensRequest& request);
absl::StatusOr<v1::CreateTokenResponse> CreateToken(Connection& connection, const Caller& caller,
                                                    const v1::CreateTokenRequest& request);
absl::StatusOr<v1::CreateTokenResponse> RotateToken(Connection& connection, const Caller& caller,
                                                    const v1::RotateTokenRequest& request);
absl::StatusOr<v1::Token> RevokeToken(Connection& connection, const Caller& caller,
                                      int64_t token_id);

// Entries of the audit, newest first.
absl::StatusOr<v1::ListAuditResponse> ListAudit(Connection& connection,
                                                const v1::ListAuditRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_TOKENS_H_
