#include "services/preference_broker/store/people/invites.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "backflip/v1/run.pb.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/rpc/sessions.h"
#include "services/preference_broker/store/db/run_row.h"

namespace backflip::preference_broker {
namespace {

constexpr int64_t kExpiresAfterMs = int64_t{14} * 24 * 3600 * 1000;

absl::string_view InviteRoleName(v1::InviteRole role) {
  switch (role) {
    case v1::INVITE_REVIEWER:
      return RoleName(Role::kReviewer);
    case v1::INVITE_OPERATOR:
      return RoleName(Role::kOperator);
    case v1::INVITE_TEACHER:
      return RoleName(Role::kTeacher);
    default:
      return RoleName(Role::kLabeler);
  }
}

v1::InviteRole InviteRoleOf(const std::string& name) {
  for (const v1::InviteRole role : {v1::INVITE_REVIEWER, v1::INVITE_OPERATOR, v1::INVITE_TEACHER}) {
    if (name == InviteRoleName(role)) return role;
  }
  return v1::INVITE_LABELER;
}

// The invite with this secret, locked. NOT_FOUND: there is none, or it lets nobody in any more.
absl::StatusOr<pqxx::row> InviteOf(Transaction& t, const std::string& secret) {
  const std::string hash = SecretHash(secret);
  const pqxx::result rows = t.Exec(R"sql(
      SELECT id, role, name, run_ids, is_group, cap, consent, price, answers_wanted,
        minutes_wanted, accepted, extract(epoch FROM expires_at) AS expires,
        expires_at <= now() AS expired, withdrawn_at IS NOT NULL AS withdrawn
      FROM invites WHERE sha256 = $1 FOR NO KEY UPDATE)sql",
                                   Bytes{hash});
  if (rows.empty()) {
    return absl::NotFoundError(
        "this invite is not known: the link is incomplete, or a newer one has taken its place; ask "
        "who sent it");
  }
  if (Bool(rows[0]["withdrawn"])) {
    return absl::NotFoundError("this invite was withdrawn: ask who sent it for a new one");
  }
  if (Bool(rows[0]["expired"])) {
    return absl::NotFoundError("this invite has expired: ask who sent it for a new one");
  }
  return rows[0];
}

// The caller that an earlier call with this request id let in; 0: there was none, or the token that
// it gave is void, so that the id lets nobody in either. Revokes that token: its caller has not
// received it, or will not use it. ALREADY_EXISTS: that call accepted another invite, or for
// somebody else.
absl::StatusOr<int64_t> EarlierAcceptance(Transaction& t, int64_t invite_id,
                                          const std::string& request_id,
                                          const std::optional<std::string>& outside_id) {
  const pqxx::result earlier = t.Exec(R"sql(
      SELECT k.caller_id, c.invite_id IS NOT DISTINCT FROM $2
        AND c.outside_id IS NOT DISTINCT FROM $3, k.revoked_at IS NULL
      FROM tokens k JOIN callers c ON c.id = k.caller_id
      WHERE k.request_id = $1 FOR NO KEY UPDATE OF k)sql",
                                      request_id, invite_id, outside_id);
  if (earlier.empty()) return 0;
  if (!Bool(earlier[0][1])) {
    return absl::AlreadyExistsError(absl::StrCat(
        "request_id '", request_id, "' was used for another invite: choose a new one for each"));
  }
  t.Exec(
      "UPDATE tokens SET revoked_at = coalesce(revoked_at, now()), request_id = NULL "
      "WHERE request_id = $1",
      request_id);
  return Bool(earlier[0][2]) ? Int(earlier[0][0]) : 0;
}

// The labeler of the group, locked, whom an outside id stands for; 0: nobody yet. The id is no
// password: ALREADY_EXISTS where neither `token` is theirs nor an operator has reset them. Whoever
// has lost their place has nothing that another could take.
absl::StatusOr<int64_t> MemberOf(Transaction& t, int64_t invite_id, const std::string& outside_id,
                                 const std::string& token) {
  const std::string hash = SecretHash(token);
  const pqxx::result known = t.Exec(R"sql(
      SELECT c.id, c.may_return OR c.place_since IS NULL OR k.sha256 IS NOT NULL
      FROM callers c LEFT JOIN tokens k
        ON k.caller_id = c.id AND k.sha256 = $3 AND k.revoked_at IS NULL
      WHERE c.invite_id = $1 AND c.outside_id = $2 FOR NO KEY UPDATE OF c)sql",
                                    invite_id, outside_id, Bytes{hash});
  if (known.empty()) return 0;
  if (!Bool(known[0][1])) {
    return absl::AlreadyExistsError(
        "somebody has started with this id already: go on in the browser where that was, or ask "
        "who sent the link to let you start again here");
  }
  return Int(known[0][0]);
}

// Makes the person whom the invite, locked, is for; `outside_id` in a group alone. NOT_FOUND: the
// invite's name was taken since.
absl::StatusOr<int64_t> MakePerson(Transaction& t, const pqxx::row& invite,
                                   const std::optional<std::string>& outside_id) {
  const int64_t invite_id = Int(invite["id"]);
  const bool group = Bool(invite["is_group"]);
  std::string name = Text(invite["name"]);
  if (group) {
    absl::StrAppend(
        &name, "-",
        Int(t.Exec("SELECT count(*) + 1 FROM callers WHERE invite_id = $1", invite_id)[0][0]));
  }
  if (!t.Exec("SELECT FROM callers WHERE name = $1", name).empty()) {
    if (!group) {
      return absl::NotFoundError(
          "the name of this invite was taken meanwhile: ask who sent it for a new one");
    }
    absl::StrAppend(&name, "-", base::RandomHex128().substr(0, 8));
  }
  if (!group) t.Exec("UPDATE invites SET accepted = 1 WHERE id = $1", invite_id);
  return Int(
      t.Exec("INSERT INTO callers (name, role, invite_id, outside_id, run_ids) "
             "SELECT $2, role, id, $3, run_ids FROM invites WHERE id = $1 RETURNING id",
             invite_id, name, outside_id)[0][0]);
}

// Counts one more place of a group, locked, as taken: a free one, or that of the labeler who has
// had one longest and has not earned it. FAILED_PRECONDITION: the group is full.
absl::Status TakePlace(Transaction& t, int64_t invite_id) {
  if (!t.Exec("UPDATE invites SET accepted = accepted + 1 WHERE id = $1 AND accepted < cap "
              "RETURNING id",
              invite_id)
           .empty()) {
    return absl::OkStatus();
  }
  const pqxx::result lost = t.Exec(R"sql(
      UPDATE callers SET place_since = NULL WHERE id = (
        SELECT id FROM callers WHERE invite_id = $1 AND place_since IS NOT NULL
          AND NOT keeps_place(id, place_since) ORDER BY place_since LIMIT 1)
      RETURNING id)sql",
                                   invite_id);
  if (lost.empty()) {
    return absl::FailedPreconditionError(
        "this group is full: every place in it is taken. Ask who sent the link whether more are "
        "let in");
  }
  t.Exec("UPDATE tokens SET revoked_at = now() WHERE caller_id = $1 AND revoked_at IS NULL",
         Int(lost[0][0]));
  return absl::OkStatus();
}

// Gives a labeler of a group their place, if they have none. Returns the hash by which the audit
// names their id; its key is erased with them, so that nobody can try ids against it then.
absl::StatusOr<std::string> EnterGroup(Transaction& t, int64_t invite_id, int64_t caller_id) {
  const bool placed =
      Bool(t.Exec("SELECT place_since IS NOT NULL FROM callers WHERE id = $1", caller_id)[0][0]);
  if (!placed) RETURN_IF_ERROR(TakePlace(t, invite_id));
  const pqxx::row id = t.Exec(R"sql(
      UPDATE callers SET may_return = false, place_since = coalesce(place_since, now()),
        outside_key = coalesce(outside_key, $2)
      WHERE id = $1 RETURNING outside_key, outside_id)sql",
                              caller_id, base::RandomHex128())[0];
  return base::Sha256Hex(Text(id[0]) + Text(id[1]));
}

// A row of invite_states.
v1::InviteState InviteStateFrom(const pqxx::row& row) {
  v1::InviteState state;
  state.set_invite_id(Int(row["id"]));
  state.set_role(InviteRoleOf(Text(row["role"])));
  state.set_name(Text(row["name"]));
  for (const int64_t run_id : Ids(row["run_ids"])) state.add_run_ids(run_id);
  state.set_group(Bool(row["is_group"]));
  state.set_cap(Int(row["cap"]));
  state.set_taken(Int(row["taken"]));
  state.set_answered(Int(row["answered"]));
  state.set_created_ms(Millis(row["created"]));
  state.set_expires_ms(Millis(row["expires"]));
  state.set_withdrawn_ms(Millis(row["withdrawn"]));
  return state;
}

v1::InviteState ReadInviteState(Transaction& t, int64_t invite_id) {
  return InviteStateFrom(t.Exec("SELECT * FROM invite_states WHERE id = $1", invite_id)[0]);
}

// Locks the invite. NOT_FOUND: there is none. PERMISSION_DENIED: it lets people into runs that
// the caller's own invite is not for.
absl::Status CheckInviteAllowed(Transaction& t, const Caller& caller, int64_t invite_id) {
  const pqxx::result rows = t.Exec(R"sql(
      SELECT cardinality($2::bigint[]) = 0
        OR (cardinality(run_ids) > 0 AND run_ids <@ $2::bigint[])
      FROM invites WHERE id = $1 FOR NO KEY UPDATE)sql",
                                   invite_id, caller.run_ids);
  if (rows.empty()) return absl::NotFoundError(absl::StrCat("there is no invite ", invite_id));
  if (Bool(rows[0][0])) return absl::OkStatus();
  return absl::PermissionDeniedError(
      "this invite is for runs that your invite is not for: ask an operator, who has to do with "
      "all");
}

// How long the token lasts that an invite of this role gives, seconds; 0: until it is revoked.
int64_t SessionSeconds(v1::InviteRole role) {
  switch (role) {
    case v1::INVITE_REVIEWER:
    case v1::INVITE_OPERATOR:
      return rpc::kDashboardSessionSeconds;
    case v1::INVITE_TEACHER:
      return 0;  // a program, which could not start again
    default:
      return rpc::kLabelingSessionSeconds;
  }
}

absl::Status UsedUp() {
  return absl::NotFoundError(
      "this invite was used before: it is good for one person and one browser; ask who sent it for "
      "a new one");
}

}  // namespace

absl::StatusOr<v1::InviteResponse> MakeInvite(Connection& connection, const Caller& caller,
                                              const v1::InviteRequest& request) {
  const std::string secret = RandomSecret();
  const std::string hash = SecretHash(secret);
  const std::vector<int64_t> run_ids(request.run_ids().begin(), request.run_ids().end());
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::InviteResponse> {
    v1::InviteResponse response;
    response.set_secret(secret);
    const pqxx::result earlier = t.Exec(
        "SELECT id, role = $2 AND name = $3 AND run_ids = $4::bigint[] AND is_group = $5 "
        "FROM invites WHERE request_id = $1 FOR NO KEY UPDATE",
        request.request_id(), InviteRoleName(request.role()), request.name(), run_ids,
        request.has_group());
    if (!earlier.empty()) {
      if (!Bool(earlier[0][1])) {
        return absl::AlreadyExistsError(
            absl::StrCat("request_id '", request.request_id(),
                         "' was used for another invite: choose a new one for each"));
      }
      response.set_invite_id(Int(earlier[0][0]));
      t.Exec("UPDATE invites SET sha256 = $2 WHERE id = $1", response.invite_id(), Bytes{hash});
      return response;
    }
    for (const int64_t run_id : run_ids) RETURN_IF_ERROR(CheckRunExists(t, run_id));
    const bool taken = !t.Exec(R"sql(
                             SELECT FROM callers WHERE name = $1
                             UNION ALL SELECT FROM invites WHERE name = $1 AND NOT is_group
                               AND accepted = 0 AND expires_at > now() AND withdrawn_at IS NULL)sql",
                               request.name())
                            .empty();
    if (taken) {
      return absl::AlreadyExistsError(
          absl::StrCat("the name '", request.name(), "' is taken: choose another pseudonym"));
    }
    if (request.expires_ms() != 0 &&
        Bool(t.Exec("SELECT to_timestamp($1::double precision / 1000) <= now()",
                    request.expires_ms())[0][0])) {
      return absl::InvalidArgumentError("expires_ms has passed: an invite ends in the future");
    }
    response.set_invite_id(Int(t.Exec(
        R"sql(
        INSERT INTO invites (request_id, sha256, role, name, run_ids, is_group, cap, consent,
          price, completion_code, redirect_url, answers_wanted, minutes_wanted, created_by,
          expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
          CASE WHEN $15::bigint = 0 THEN now() + $16::bigint * interval '1 ms'
            ELSE to_timestamp($15::double precision / 1000) END)
        RETURNING id)sql",
        request.request_id(), Bytes{hash}, InviteRoleName(request.role()), request.name(), run_ids,
        request.has_group(), request.has_group() ? request.group().cap() : 1,
        request.group().consent(), request.group().price(), request.group().completion_code(),
        request.group().redirect_url(), request.answers_wanted(), request.minutes_wanted(),
        caller.id, request.expires_ms(), kExpiresAfterMs)[0][0]));
    // names are left out of the audit, where they could not be forgotten
    Audit(t, caller.id, 0, "invite",
          absl::StrCat(
              "invite ", response.invite_id(), ", ", InviteRoleName(request.role()),
              request.has_group() ? absl::StrCat(", group of ", request.group().cap()) : ""));
    return response;
  });
}

absl::StatusOr<v1::InviteDescription> DescribeInvite(Connection& connection,
                                                     const std::string& secret) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::InviteDescription> {
    ASSIGN_OR_RETURN(const pqxx::row row, InviteOf(t, secret));
    if (!Bool(row["is_group"]) && Int(row["accepted"]) > 0) return UsedUp();
    v1::InviteDescription invite;
    invite.set_role(InviteRoleOf(Text(row["role"])));
    invite.set_name(Text(row["name"]));
    invite.set_needs_outside_id(Bool(row["is_group"]));
    invite.set_consent(Text(row["consent"]));
    invite.set_price(Text(row["price"]));
    invite.set_answers_wanted(Int(row["answers_wanted"]));
    invite.set_minutes_wanted(Int(row["minutes_wanted"]));
    invite.set_expires_ms(Millis(row["expires"]));
    const pqxx::result run = t.Exec(
        "SELECT r.task FROM runs r, invites i WHERE i.id = $1 AND r.reward = 'PREFERENCES' "
        "  AND (cardinality(i.run_ids) = 0 OR r.id = ANY (i.run_ids)) ORDER BY r.id DESC LIMIT 1",
        Int(row["id"]));
    if (!run.empty()) {
      v1::TaskInfo task;
      task.ParseFromString(Blob(run[0][0]));
      invite.set_question(task.question());
    }
    return invite;
  });
}

absl::StatusOr<v1::AcceptInviteResponse> AcceptInvite(Connection& connection,
                                                      const v1::AcceptInviteRequest& request,
                                                      const std::string& old_token) {
  const std::string token = RandomSecret();
  const std::string hash = SecretHash(token), old_hash = SecretHash(old_token);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::AcceptInviteResponse> {
    ASSIGN_OR_RETURN(const pqxx::row invite, InviteOf(t, request.secret()));
    const int64_t invite_id = Int(invite["id"]);
    const bool group = Bool(invite["is_group"]);
    if (group && request.outside_id().empty()) {
      return absl::InvalidArgumentError(
          "outside_id is missing: this invite needs your id of the platform that sent you");
    }
    const auto outside_id = group ? std::optional<std::string>(request.outside_id()) : std::nullopt;
    ASSIGN_OR_RETURN(int64_t caller_id,
                     EarlierAcceptance(t, invite_id, request.request_id(), outside_id));
    if (caller_id == 0 && group) {
      ASSIGN_OR_RETURN(caller_id, MemberOf(t, invite_id, request.outside_id(), old_token));
    } else if (caller_id == 0 && Int(invite["accepted"]) > 0) {
      return UsedUp();
    }
    if (caller_id == 0) {
      ASSIGN_OR_RETURN(caller_id, MakePerson(t, invite, outside_id));
    }
    const pqxx::row person = t.Exec("SELECT name, state FROM callers WHERE id = $1", caller_id)[0];
    if (Text(person[1]) == "REVOKED") {
      return absl::PermissionDeniedError(
          "you were signed off by an operator: write to who invited you");
    }
    std::string detail = absl::StrCat("invite ", invite_id);
    if (group) {
      ASSIGN_OR_RETURN(const std::string id_hash, EnterGroup(t, invite_id, caller_id));
      absl::StrAppend(&detail, ", outside id ", id_hash);
    }
    t.Exec(
        "UPDATE tokens SET revoked_at = now() "
        "WHERE caller_id = $1 AND sha256 = $2 AND revoked_at IS NULL",
        caller_id, Bytes{old_hash});
    const v1::InviteRole role = InviteRoleOf(Text(invite["role"]));
    t.Exec(
        "INSERT INTO tokens (sha256, caller_id, request_id, expires_at) "
        "VALUES ($1, $2, $3, now() + nullif($4::bigint, 0) * interval '1 second')",
        Bytes{hash}, caller_id, request.request_id(), SessionSeconds(role));
    Audit(t, caller_id, 0, "accept invite", detail);
    v1::AcceptInviteResponse response;
    response.set_token(token);
    response.set_role(role);
    response.set_name(Text(person[0]));
    return response;
  });
}

void ReleasePlace(Transaction& t, int64_t caller_id) {
  t.Exec(R"sql(
      WITH freed AS (UPDATE callers SET place_since = NULL
          WHERE id = $1 AND place_since IS NOT NULL AND NOT has_answered(id) RETURNING invite_id)
      UPDATE invites i SET accepted = i.accepted - 1 FROM freed WHERE i.id = freed.invite_id)sql",
         caller_id);
}

absl::StatusOr<v1::ListInvitesResponse> ListInvites(Connection& connection, const Caller& caller,
                                                    const v1::ListInvitesRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListInvitesResponse> {
    v1::ListInvitesResponse response;
    for (const auto& row : t.Exec(R"sql(
             SELECT * FROM invite_states WHERE ($1::bigint = 0 OR id < $1)
               AND (cardinality($2::bigint[]) = 0
                    OR (cardinality(run_ids) > 0 AND run_ids <@ $2::bigint[]))
             ORDER BY id DESC LIMIT $3)sql",
                                  request.before_invite_id(), caller.run_ids,
                                  request.limit() == 0 ? 100 : request.limit())) {
      *response.add_invites() = InviteStateFrom(row);
    }
    return response;
  });
}

absl::StatusOr<v1::InviteState> WithdrawInvite(Connection& connection, const Caller& caller,
                                               int64_t invite_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::InviteState> {
    RETURN_IF_ERROR(CheckInviteAllowed(t, caller, invite_id));
    if (!t.Exec("UPDATE invites SET withdrawn_at = now() WHERE id = $1 AND withdrawn_at IS NULL "
                "RETURNING id",
                invite_id)
             .empty()) {
      Audit(t, caller.id, 0, "withdraw invite", absl::StrCat("invite ", invite_id));
    }
    return ReadInviteState(t, invite_id);
  });
}

absl::StatusOr<v1::InviteState> SetInviteCap(Connection& connection, const Caller& caller,
                                             const v1::SetInviteCapRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::InviteState> {
    RETURN_IF_ERROR(CheckInviteAllowed(t, caller, request.invite_id()));
    const pqxx::row invite =
        t.Exec("SELECT is_group, accepted FROM invites WHERE id = $1", request.invite_id())[0];
    if (!Bool(invite[0])) {
      return absl::FailedPreconditionError(
          "the invite is for one person: only a group's has places");
    }
    if (request.cap() < Int(invite[1])) {
      return absl::FailedPreconditionError(
          absl::StrCat("cap is ", request.cap(), ", but ", Int(invite[1]),
                       " places are taken: it must be at least that many"));
    }
    t.Exec("UPDATE invites SET cap = $2 WHERE id = $1", request.invite_id(), request.cap());
    Audit(t, caller.id, 0, "set invite cap",
          absl::StrCat("invite ", request.invite_id(), ": ", request.cap()));
    return ReadInviteState(t, request.invite_id());
  });
}

}  // namespace backflip::preference_broker
