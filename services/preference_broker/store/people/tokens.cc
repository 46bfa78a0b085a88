#include "services/preference_broker/store/people/tokens.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"

namespace backflip::preference_broker {
namespace {

constexpr int64_t kTokensPerPage = 1000;

constexpr char kTokenColumns[] = R"sql(
SELECT k.id, c.name, c.role,
  CASE WHEN k.origin = '' AND c.invite_id IS NOT NULL THEN 'invite ' || c.invite_id
    ELSE k.origin END AS origin,
  extract(epoch FROM k.created_at) AS created, extract(epoch FROM k.last_used_at) AS used,
  extract(epoch FROM k.expires_at) AS expires, extract(epoch FROM k.revoked_at) AS revoked
FROM tokens k JOIN callers c ON c.id = k.caller_id
)sql";

v1::Token TokenOf(const pqxx::row& row) {
  v1::Token token;
  token.set_id(Int(row["id"]));
  token.set_name(Text(row["name"]));
  for (const Role role : kAllRoles) {
    if (Text(row["role"]) == RoleName(role)) token.set_role(static_cast<v1::Role>(role));
  }
  token.set_origin(Text(row["origin"]));
  token.set_created_ms(Millis(row["created"]));
  token.set_last_used_ms(Millis(row["used"]));
  token.set_expires_ms(Millis(row["expires"]));
  token.set_revoked_ms(Millis(row["revoked"]));
  return token;
}

absl::StatusOr<v1::Token> ReadToken(Transaction& t, int64_t token_id) {
  static const std::string* const sql =
      new std::string(absl::StrCat(kTokenColumns, "WHERE k.id = $1 FOR NO KEY UPDATE OF k"));
  const pqxx::result rows = t.Exec(sql->c_str(), token_id);
  if (rows.empty()) {
    return absl::NotFoundError(
        absl::StrCat("there is no token ", token_id, ": `backflip token list` shows all"));
  }
  return TokenOf(rows[0]);
}

}  // namespace

absl::StatusOr<int64_t> RenewedSecret(Transaction& t, const std::string& request_id,
                                      const std::string& name, const std::string& hash) {
  const pqxx::result rows = t.Exec(
      "SELECT k.id, c.name = $2 FROM tokens k JOIN callers c ON c.id = k.caller_id "
      "WHERE k.request_id = $1 FOR NO KEY UPDATE OF k",
      request_id, name);
  if (rows.empty()) return 0;
  if (!Bool(rows[0][1])) {
    return absl::AlreadyExistsError(absl::StrCat(
        "request_id '", request_id, "' was used for another token: choose a new one for each"));
  }
  t.Exec("UPDATE tokens SET sha256 = $2 WHERE id = $1", Int(rows[0][0]), Bytes{hash});
  return Int(rows[0][0]);
}

absl::StatusOr<int64_t> FindOrMakeCaller(Transaction& t, const std::string& name, Role role) {
  t.Exec("INSERT INTO callers (name, role) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name,
         RoleName(role));
  const pqxx::row row = t.Exec("SELECT id, role, state FROM callers WHERE name = $1", name)[0];
  if (Text(row[1]) != RoleName(role)) {
    return absl::AlreadyExistsError(absl::StrCat("'", name, "' is the name of a ", Text(row[1]),
                                                 ": choose another one for a ", RoleName(role)));
  }
  if (Text(row[2]) == "REVOKED") {
    return absl::FailedPreconditionError(
        absl::StrCat("'", name, "' was revoked, for good: choose another name"));
  }
  return Int(row[0]);
}

absl::StatusOr<v1::ListTokensResponse> ListTokens(Connection& connection,
                                                  const v1::ListTokensRequest& request) {
  static const std::string* const sql = new std::string(absl::StrCat(kTokenColumns, R"sql(
      WHERE k.id > $1 AND ($2::boolean OR k.id IN (SELECT id FROM accepted_tokens))
      ORDER BY k.id LIMIT $3)sql"));
  int64_t after = 0;
  if (!request.page().empty() && !absl::SimpleAtoi(request.page(), &after)) {
    return absl::InvalidArgumentError("page must be the next_page of the answer before, or empty");
  }
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListTokensResponse> {
    v1::ListTokensResponse response;
    for (const auto& row : t.Exec(sql->c_str(), after, request.all(), kTokensPerPage))
      *response.add_tokens() = TokenOf(row);
    if (response.tokens_size() == kTokensPerPage)
      response.set_next_page(absl::StrCat(response.tokens().rbegin()->id()));
    return response;
  });
}

absl::StatusOr<v1::CreateTokenResponse> CreateToken(Connection& connection, const Caller& caller,
                                                    const v1::CreateTokenRequest& request) {
  const std::string secret = RandomSecret();
  const std::string hash = SecretHash(secret);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::CreateTokenResponse> {
    ASSIGN_OR_RETURN(int64_t id, RenewedSecret(t, request.request_id(), request.name(), hash));
    if (id == 0) {
      ASSIGN_OR_RETURN(const int64_t owner,
                       FindOrMakeCaller(t, request.name(), static_cast<Role>(request.role())));
      id = Int(t.Exec(R"sql(
          INSERT INTO tokens (sha256, caller_id, request_id, origin, expires_at)
          VALUES ($1, $2, $3, 'operator', to_timestamp(nullif($4::bigint, 0)::float8 / 1000))
          RETURNING id)sql",
                      Bytes{hash}, owner, request.request_id(), request.expires_ms())[0][0]);
      Audit(t, caller.id, 0, "make token", absl::StrCat("token ", id, " of caller ", owner));
    }
    v1::CreateTokenResponse response;
    ASSIGN_OR_RETURN(*response.mutable_token(), ReadToken(t, id));
    response.set_secret(secret);
    return response;
  });
}

absl::StatusOr<v1::CreateTokenResponse> RotateToken(Connection& connection, const Caller& caller,
                                                    const v1::RotateTokenRequest& request) {
  const std::string secret = RandomSecret();
  const std::string hash = SecretHash(secret);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::CreateTokenResponse> {
    ASSIGN_OR_RETURN(const v1::Token old, ReadToken(t, request.token_id()));
    ASSIGN_OR_RETURN(int64_t id, RenewedSecret(t, request.request_id(), old.name(), hash));
    if (id == 0) {
      if (old.revoked_ms() != 0) {
        return absl::FailedPreconditionError(
            absl::StrCat("token ", old.id(), " was revoked before: make a new one instead"));
      }
      id = Int(t.Exec(R"sql(
          WITH old AS (UPDATE tokens SET revoked_at = now() WHERE id = $3 RETURNING *)
          INSERT INTO tokens (sha256, caller_id, request_id, origin, expires_at)
          SELECT $1, caller_id, $2, 'operator', now() + (expires_at - created_at) FROM old
          RETURNING id)sql",
                      Bytes{hash}, request.request_id(), old.id())[0][0]);
      Audit(t, caller.id, 0, "rotate token", absl::StrCat("token ", old.id(), " to ", id));
    }
    v1::CreateTokenResponse response;
    ASSIGN_OR_RETURN(*response.mutable_token(), ReadToken(t, id));
    response.set_secret(secret);
    return response;
  });
}

absl::StatusOr<v1::Token> RevokeToken(Connection& connection, const Caller& caller,
                                      int64_t token_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Token> {
    ASSIGN_OR_RETURN(const v1::Token token, ReadToken(t, token_id));
    if (token.revoked_ms() != 0) return token;
    t.Exec("UPDATE tokens SET revoked_at = now() WHERE id = $1", token_id);
    Audit(t, caller.id, 0, "revoke token", absl::StrCat("token ", token_id));
    return ReadToken(t, token_id);
  });
}

absl::StatusOr<v1::ListAuditResponse> ListAudit(Connection& connection,
                                                const v1::ListAuditRequest& request) {
  const int32_t limit = request.limit() == 0 ? 100 : request.limit();
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListAuditResponse> {
    v1::ListAuditResponse response;
    for (const auto& row : t.Exec(R"sql(
             SELECT a.id, extract(epoch FROM a.at) AS at, coalesce(c.name, '') AS name,
               coalesce(c.role, '') AS role, coalesce(a.run_id, 0) AS run_id, a.action, a.detail
             FROM audit a LEFT JOIN callers c ON c.id = a.caller_id
             WHERE ($1::bigint = 0 OR a.run_id = $1) AND ($2 = '' OR c.name = $2)
               AND a.at >= to_timestamp($3::float8 / 1000) AND ($4::bigint = 0 OR a.id < $4)
             ORDER BY a.id DESC LIMIT $5)sql",
                                  request.run_id(), request.name(), request.since_ms(),
                                  request.before_id(), limit + 1)) {
      if (response.entries_size() == limit) {
        response.set_more(true);
        break;
      }
      v1::AuditEntry* const entry = response.add_entries();
      entry->set_id(Int(row["id"]));
      entry->set_at_ms(Millis(row["at"]));
      entry->set_name(Text(row["name"]));
      entry->set_role(Text(row["role"]));
      entry->set_run_id(Int(row["run_id"]));
      entry->set_action(Text(row["action"]));
      entry->set_detail(Text(row["detail"]));
    }
    return response;
  });
}

}  // namespace backflip::preference_broker
