#include "services/preference_broker/store/people/workers.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/people/tokens.h"

namespace backflip::preference_broker {
namespace {

constexpr int64_t kJoinsWithinMs = int64_t{24} * 3600 * 1000;

// What a worker serves, it asks for every ten seconds.
constexpr char kWorkers[] = R"sql(
SELECT c.name, extract(epoch FROM max(k.last_used_at)) AS used,
  coalesce(bool_or(k.id IN (SELECT id FROM accepted_tokens)), false) AS joined,
  extract(epoch FROM max(k.expires_at) FILTER (WHERE k.joins AND k.revoked_at IS NULL
    AND k.expires_at > now())) AS invited_until,
  ARRAY (SELECT s.run_id FROM served_runs s WHERE s.caller_id = c.id
    AND s.assigned_at > now() - interval '30 seconds' ORDER BY s.run_id) AS runs
FROM callers c LEFT JOIN tokens k ON k.caller_id = c.id
WHERE c.role = 'worker' AND ($1 = '' OR c.name = $1) GROUP BY c.id ORDER BY c.name
)sql";

v1::Worker WorkerOf(const pqxx::row& row) {
  v1::Worker worker;
  worker.set_name(Text(row["name"]));
  worker.set_last_used_ms(Millis(row["used"]));
  const bool joined = Bool(row["joined"]), invited = !row["invited_until"].is_null();
  worker.set_state(joined ? v1::JOINED : invited ? v1::INVITED : v1::CUT_OFF);
  if (!joined) worker.set_expires_ms(Millis(row["invited_until"]));
  for (const int64_t run_id : Ids(row["runs"])) worker.add_run_ids(run_id);
  return worker;
}

absl::Status CannotJoin(absl::string_view why) {
  return absl::UnauthenticatedError(
      absl::StrCat("this token for joining ", std::string(why),
                   ": ask an operator for a new one, which `backflip worker invite` gives"));
}

}  // namespace

absl::StatusOr<v1::InviteWorkerResponse> InviteWorker(Connection& connection, const Caller& caller,
                                                      const v1::InviteWorkerRequest& request) {
  const std::string secret = RandomSecret();
  const std::string hash = SecretHash(secret);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::InviteWorkerResponse> {
    ASSIGN_OR_RETURN(int64_t id, RenewedSecret(t, request.request_id(), request.name(), hash));
    if (id == 0) {
      ASSIGN_OR_RETURN(const int64_t owner, FindOrMakeCaller(t, request.name(), Role::kWorker));
      id = Int(t.Exec(R"sql(
          INSERT INTO tokens (sha256, caller_id, request_id, origin, joins, expires_at)
          VALUES ($1, $2, $3, 'operator', true, CASE WHEN $4::bigint = 0
            THEN now() + $5::bigint * interval '1 ms' ELSE to_timestamp($4::float8 / 1000) END)
          RETURNING id)sql",
                      Bytes{hash}, owner, request.request_id(), request.expires_ms(),
                      kJoinsWithinMs)[0][0]);
      Audit(t, caller.id, 0, "invite worker", absl::StrCat("token ", id, " of caller ", owner));
    }
    v1::InviteWorkerResponse response;
    response.set_secret(secret);
    response.set_expires_ms(Millis(
        t.Exec("SELECT extract(epoch FROM expires_at) FROM tokens WHERE id = $1", id)[0][0]));
    return response;
  });
}

absl::StatusOr<v1::JoinResponse> JoinWorker(Connection& connection,
                                            const v1::JoinRequest& request) {
  const std::string token = RandomSecret();
  const std::string hash = SecretHash(token), invite_hash = SecretHash(request.secret());
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::JoinResponse> {
    const pqxx::result invites = t.Exec(R"sql(
        SELECT k.id, k.caller_id, c.name, k.revoked_at IS NOT NULL AS used,
          k.expires_at <= now() AS expired
        FROM tokens k JOIN callers c ON c.id = k.caller_id
        WHERE k.sha256 = $1 AND k.joins FOR NO KEY UPDATE OF k)sql",
                                        Bytes{invite_hash});
    if (invites.empty()) return CannotJoin("is not known, or a newer one has taken its place");
    const pqxx::row& invite = invites[0];
    const int64_t invite_id = Int(invite["id"]), caller_id = Int(invite["caller_id"]);
    const std::string origin = absl::StrCat("joined by token ", invite_id);
    if (Bool(invite["used"])) {
      // the same call again, whose answer was lost
      if (t.Exec("UPDATE tokens SET sha256 = $1 WHERE request_id = $2 AND origin = $3 "
                 "AND revoked_at IS NULL AND last_used_at IS NULL RETURNING id",
                 Bytes{hash}, request.request_id(), origin)
              .empty())
        return CannotJoin("was used before, or revoked");
    } else if (Bool(invite["expired"])) {
      return CannotJoin("has expired");
    } else {
      t.Exec("UPDATE tokens SET revoked_at = now() WHERE id = $1", invite_id);
      t.Exec("INSERT INTO tokens (sha256, caller_id, request_id, origin) VALUES ($1, $2, $3, $4)",
             Bytes{hash}, caller_id, request.request_id(), origin);
      Audit(t, caller_id, 0, "join", absl::StrCat("token ", invite_id));
    }
    v1::JoinResponse response;
    response.set_token(token);
    response.set_name(Text(invite["name"]));
    return response;
  });
}

absl::StatusOr<v1::ListWorkersResponse> ListWorkers(Connection& connection) {
  return connection.Transact([](Transaction& t) -> absl::StatusOr<v1::ListWorkersResponse> {
    v1::ListWorkersResponse response;
    for (const auto& row : t.Exec(kWorkers, "")) *response.add_workers() = WorkerOf(row);
    return response;
  });
}

absl::StatusOr<v1::Worker> RevokeWorker(Connection& connection, const Caller& caller,
                                        const std::string& name) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Worker> {
    const pqxx::result rows = t.Exec(
        "SELECT id FROM callers WHERE name = $1 AND role = 'worker' FOR NO KEY UPDATE", name);
    if (rows.empty()) {
      return absl::NotFoundError(
          absl::StrCat("there is no worker '", name, "': `backflip worker list` shows all"));
    }
    if (!t.Exec("UPDATE tokens SET revoked_at = now() WHERE caller_id = $1 AND revoked_at IS NULL "
                "RETURNING id",
                Int(rows[0][0]))
             .empty()) {
      Audit(t, caller.id, 0, "revoke worker", absl::StrCat("caller ", Int(rows[0][0])));
    }
    t.Exec("DELETE FROM served_runs WHERE caller_id = $1", Int(rows[0][0]));
    return WorkerOf(t.Exec(kWorkers, name)[0]);
  });
}

absl::StatusOr<v1::FindRefusedResponse> FindRefused(Connection& connection,
                                                    const v1::FindRefusedRequest& request) {
  const std::vector<int64_t> ids(request.token_ids().begin(), request.token_ids().end());
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::FindRefusedResponse> {
    v1::FindRefusedResponse response;
    for (const auto& row : t.Exec("SELECT id FROM unnest($1::bigint[]) id WHERE id NOT IN "
                                  "(SELECT id FROM accepted_tokens)",
                                  ids))
      response.add_token_ids(Int(row[0]));
    return response;
  });
}

}  // namespace backflip::preference_broker
