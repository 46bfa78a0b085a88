// Callers: their roles, and their tokens, of which only hashes are stored.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_CALLERS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_CALLERS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "backflip/v1/options.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// The protocol's roles that have tokens.
enum class Role {
  kLabeler = v1::ROLE_LABELER,
  kTeacher = v1::ROLE_TEACHER,
  kReviewer = v1::ROLE_REVIEWER,
  kOperator = v1::ROLE_OPERATOR,
  kLearner = v1::ROLE_LEARNER,
  kTrainer = v1::ROLE_TRAINER,
  kWorker = v1::ROLE_WORKER,
};

inline constexpr std::array<Role, 7> kAllRoles = {Role::kLabeler,  Role::kTeacher, Role::kReviewer,
                                                  Role::kOperator, Role::kLearner, Role::kTrainer,
                                                  Role::kWorker};

// Lower case, as in token files and in the database.
absl::string_view RoleName(Role role);

struct Caller {
  int64_t id = 0;
  Role role = Role::kLabeler;
  // Runs that the caller's invite is for; empty: all.
  std::vector<int64_t> run_ids;
  // Of the token that the call carries.
  int64_t token_id = 0;
};

// The numbers of a bigint[].
std::vector<int64_t> Ids(const pqxx::field& field);

// PERMISSION_DENIED: the caller's invite is for other runs. `run_id` 0: all runs.
absl::Status CheckRunAllowed(const Caller& caller, int64_t run_id);
// PERMISSION_DENIED: the caller's invite is for some runs alone.
absl::Status CheckOfAllRuns(const Caller& caller);

// Ends the leases that the caller has not answered; the slots go back. The caller's row is locked.
void EndLeases(Transaction& t, int64_t caller_id);

// 43 characters of base64url, 256 random bits: a token or the secret of an invite.
std::string RandomSecret();
// SHA-256, 32 bytes: what is stored of a secret.
std::string SecretHash(absl::string_view secret);

// UNAUTHENTICATED: the token is unknown, revoked or expired, or its caller is revoked. Notes the
// use.
absl::StatusOr<Caller> CallerOfToken(Connection& connection, absl::string_view token);
// Revokes the caller's own token. Idempotent.
absl::Status SignOut(Connection& connection, const Caller& caller, absl::string_view token);

// Gives `token` to the caller `name`, who is made with `role` if new. With an origin ("file
// PATH") a new token takes the place of those that came from there before: they are revoked.
// Idempotent. FAILED_PRECONDITION: the token was revoked, or is another caller's.
absl::Status RegisterToken(Connection& connection, absl::string_view name, Role role,
                           absl::string_view token, const std::string& origin = "");

// Makes for each role a caller of the role's name and a file DIR/<role>.token with a random token
// (mode 0600, owned by the folder's owner). Files that exist are kept, unless their token was
// revoked or has expired.
absl::Status MakeTokenFiles(Connection& connection, const std::string& directory);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_PEOPLE_CALLERS_H_
