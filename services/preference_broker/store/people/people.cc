#include "services/preference_broker/store/people/people.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backflip/v1/run.pb.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/requests.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"

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

// The row, locked, of the person that a request names by id (or 0) or by name. NOT_FOUND:
// there is no such person.
absl::StatusOr<int64_t> PersonOf(Transaction& t, int64_t id, const std::string& name) {
  const pqxx::result rows = t.Exec(
      "SELECT id FROM callers WHERE role IN ('labeler', 'teacher', 'reviewer', 'operator') "
      "  AND CASE WHEN $1::bigint <> 0 THEN id = $1 ELSE name = $2 END FOR NO KEY UPDATE",
      id, name);
  if (!rows.empty()) return Int(rows[0][0]);
  return absl::NotFoundError(id != 0 ? absl::StrCat("there is no labeler ", id)
                                     : absl::StrCat("there is no labeler '", name, "'"));
}

// A person's state, name and tokens are the same in all runs. PERMISSION_DENIED:
// they may answer for, or see, a run that the caller's invite is not for.
absl::Status CheckPersonAllowed(Transaction& t, const Caller& caller, int64_t id) {
  if (caller.run_ids.empty() ||
      Bool(t.Exec(
          "SELECT cardinality(run_ids) > 0 AND run_ids <@ $2::bigint[] FROM callers WHERE id = $1",
          id, caller.run_ids)[0][0])) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      "this labeler has to do with runs that your invite is not for: ask an operator, who has to "
      "do with all");
}

absl::StatusOr<v1::Labeler> LabelerOf(Transaction& t, int64_t id) {
  const pqxx::row row =
      t.Exec("SELECT id, name, role, state, reason FROM callers WHERE id = $1", id)[0];
  v1::Labeler labeler;
  labeler.set_id(Int(row[0]));
  labeler.set_name(Text(row[1]));
  labeler.set_teacher(Text(row[2]) == "teacher");
  labeler.set_state(LabelerStateFromField(row[3]));
  labeler.set_reason(Text(row[4]));
  return labeler;
}

// The invite with this secret, locked. NOT_FOUND: there is none, or it has expired.
absl::StatusOr<pqxx::row> InviteOf(Transaction& t, const std::string& secret) {
  const std::string hash = SecretHash(secret);
  const pqxx::result rows = t.Exec(R"sql(
      SELECT id, role, name, run_ids, is_group, cap, consent, price, answers_wanted,
        minutes_wanted, accepted, extract(epoch FROM expires_at) AS expires,
        expires_at <= now() AS expired
      FROM invites WHERE sha256 = $1 FOR NO KEY UPDATE)sql",
                                   Bytes{hash});
  if (rows.empty()) {
    return absl::NotFoundError(
        "this invite is not known: the link is incomplete, or a newer one has taken its place; ask "
        "who sent it");
  }
  if (Bool(rows[0]["expired"])) {
    return absl::NotFoundError("this invite has expired: ask who sent it for a new one");
  }
  return rows[0];
}

// The caller that an earlier call with this request id made; 0: there was none. Revokes the
// token that it gave: its caller has not received it, or will not use it. ALREADY_EXISTS: that
// call accepted another invite, or for somebody else.
absl::StatusOr<int64_t> EarlierAcceptance(Transaction& t, int64_t invite_id,
                                          const std::string& request_id,
                                          const std::optional<std::string>& outside_id) {
  const pqxx::result earlier = t.Exec(R"sql(
      SELECT k.caller_id, c.invite_id IS NOT DISTINCT FROM $2
        AND c.outside_id IS NOT DISTINCT FROM $3
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
  return Int(earlier[0][0]);
}

// Makes the person whom the invite, locked, is for; `outside_id` in a group alone.
// RESOURCE_EXHAUSTED: the group is full. NOT_FOUND: the invite's name was taken since.
absl::StatusOr<int64_t> MakePerson(Transaction& t, const pqxx::row& invite,
                                   const std::optional<std::string>& outside_id) {
  const int64_t invite_id = Int(invite["id"]);
  const bool group = Bool(invite["is_group"]);
  const int64_t number = Int(invite["accepted"]) + 1;
  if (number > Int(invite["cap"])) {
    return absl::ResourceExhaustedError("this group is full: every place in it is taken");
  }
  std::string name = Text(invite["name"]);
  if (group) absl::StrAppend(&name, "-", number);
  if (!t.Exec("SELECT FROM callers WHERE name = $1", name).empty()) {
    if (!group) {
      return absl::NotFoundError(
          "the name of this invite was taken meanwhile: ask who sent it for a new one");
    }
    absl::StrAppend(&name, "-", base::RandomHex128().substr(0, 8));
  }
  const int64_t caller_id =
      Int(t.Exec("INSERT INTO callers (name, role, invite_id, outside_id, run_ids) "
                 "SELECT $2, role, id, $3, run_ids FROM invites WHERE id = $1 RETURNING id",
                 invite_id, name, outside_id)[0][0]);
  t.Exec("UPDATE invites SET accepted = $2 WHERE id = $1", invite_id, number);
  Audit(t, caller_id, 0, "accept invite", absl::StrCat("invite ", invite_id));
  return caller_id;
}

absl::Status UsedUp() {
  return absl::NotFoundError(
      "this invite was used before: it is good for one person and one browser; ask who sent it for "
      "a new one");
}

}  // namespace

v1::LabelerState LabelerStateFromField(const pqxx::field& field) {
  const std::string name = Text(field);
  return name == "PAUSED" ? v1::LABELER_PAUSED : name == "REVOKED" ? v1::REVOKED : v1::ACTIVE;
}

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
                               AND accepted = 0 AND expires_at > now())sql",
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
    response.set_invite_id(Int(
        t.Exec(R"sql(
        INSERT INTO invites (request_id, sha256, role, name, run_ids, is_group, cap, consent,
          price, completion_code, answers_wanted, minutes_wanted, created_by, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
          CASE WHEN $14::bigint = 0 THEN now() + $15::bigint * interval '1 ms'
            ELSE to_timestamp($14::double precision / 1000) END)
        RETURNING id)sql",
               request.request_id(), Bytes{hash}, InviteRoleName(request.role()), request.name(),
               run_ids, request.has_group(), request.has_group() ? request.group().cap() : 1,
               request.group().consent(), request.group().price(),
               request.group().completion_code(), request.answers_wanted(),
               request.minutes_wanted(), caller.id, request.expires_ms(), kExpiresAfterMs)[0][0]));
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
                                                      const v1::AcceptInviteRequest& request) {
  const std::string token = RandomSecret();
  const std::string hash = SecretHash(token);
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
      const pqxx::result known =
          t.Exec("SELECT id FROM callers WHERE invite_id = $1 AND outside_id = $2", invite_id,
                 request.outside_id());
      if (!known.empty()) caller_id = Int(known[0][0]);
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
    t.Exec("INSERT INTO tokens (sha256, caller_id, request_id) VALUES ($1, $2, $3)", Bytes{hash},
           caller_id, request.request_id());
    v1::AcceptInviteResponse response;
    response.set_token(token);
    response.set_role(InviteRoleOf(Text(invite["role"])));
    response.set_name(Text(person[0]));
    return response;
  });
}

absl::StatusOr<v1::Labeler> SetLabelerState(Connection& connection, const Caller& caller,
                                            const v1::SetLabelerStateRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Labeler> {
    ASSIGN_OR_RETURN(const int64_t id, PersonOf(t, request.labeler_id(), request.name()));
    RETURN_IF_ERROR(CheckPersonAllowed(t, caller, id));
    const pqxx::row row = t.Exec("SELECT state, role FROM callers WHERE id = $1", id)[0];
    const bool answers = Text(row[1]) == "labeler" || Text(row[1]) == "teacher";
    if (id == caller.id) return absl::FailedPreconditionError("nobody changes their own state");
    if (!answers && caller.role != Role::kOperator) {
      return absl::PermissionDeniedError(absl::StrCat("a reviewer may not change the state of a ",
                                                      Text(row[1]), ": an operator may"));
    }
    const std::string before = Text(row[0]);
    if (before == "REVOKED" && request.state() != v1::REVOKED) {
      return absl::FailedPreconditionError("a revoked labeler stays revoked: invite them anew");
    }
    if (request.state() == v1::REVOKED) {
      if (before != "REVOKED") {
        t.Exec("UPDATE callers SET state = 'REVOKED', reason = $2, warned_at = NULL WHERE id = $1",
               id, request.reason());
        t.Exec("UPDATE tokens SET revoked_at = now() WHERE caller_id = $1 AND revoked_at IS NULL",
               id);
        EndLeases(t, id);
      }
    } else {
      const bool pause = request.state() == v1::LABELER_PAUSED;
      if (pause && !answers) {
        return absl::FailedPreconditionError(
            "only labelers and teachers are paused; a reviewer is revoked");
      }
      t.Exec(
          "UPDATE callers SET state = $2, reason = $3, warned_at = NULL, rules_since = now() "
          "WHERE id = $1",
          id, pause ? "PAUSED" : "ACTIVE",
          !pause                      ? ""
          : !request.reason().empty() ? request.reason()
                                      : "You were paused by whoever runs this.");
      if (pause) {
        EndLeases(t, id);
      } else {
        t.Signal(kQuestionsTopic);  // the labeler may be waiting
      }
    }
    Audit(t, caller.id, 0, "set labeler state",
          absl::StrCat("labeler ", id, " ", v1::LabelerState_Name(request.state()), ": ",
                       request.reason()));
    return LabelerOf(t, id);
  });
}

absl::StatusOr<v1::ForgetLabelerResponse> ForgetLabeler(Connection& connection,
                                                        const Caller& caller,
                                                        const v1::ForgetLabelerRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ForgetLabelerResponse> {
    ASSIGN_OR_RETURN(const int64_t id, PersonOf(t, request.labeler_id(), request.name()));
    RETURN_IF_ERROR(CheckPersonAllowed(t, caller, id));
    if (id == caller.id)
      return absl::FailedPreconditionError("nobody forgets themselves: another operator may");
    v1::ForgetLabelerResponse response;
    response.set_name(absl::StrCat("forgotten-", base::RandomHex128().substr(0, 12)));
    EndLeases(t, id);
    t.Exec("DELETE FROM tokens WHERE caller_id = $1", id);
    // (a group's name is not a person's)
    t.Exec(
        "UPDATE invites SET name = $2 "
        "WHERE NOT is_group AND id = (SELECT invite_id FROM callers WHERE id = $1)",
        id, response.name());
    t.Exec(
        "UPDATE callers SET name = $2, outside_id = NULL, state = 'REVOKED', reason = '', "
        "warned_at = NULL, seen_at = NULL, forgotten_at = now() WHERE id = $1",
        id, response.name());
    Audit(t, caller.id, 0, "forget labeler", absl::StrCat("labeler ", id));
    return response;
  });
}

absl::StatusOr<RetractedLabels> RetractLabels(Connection& connection, const Caller& caller,
                                              const v1::RetractLabelsRequest& request) {
  const std::string body = BodyHash(request);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<RetractedLabels> {
    RetractedLabels retracted;
    ASSIGN_OR_RETURN(const bool answered, AnsweredBefore(t, request, &retracted.response));
    if (answered) return retracted;
    ASSIGN_OR_RETURN(const int64_t id, PersonOf(t, request.labeler_id(), request.name()));
    if (request.run_id() != 0) RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    // they may have given hundreds of thousands
    t.ExecScript("SET LOCAL statement_timeout = '5min'");
    // what a labeler changes while we wait for the locks is read after them
    t.Exec(R"sql(
        SELECT FROM questions WHERE id IN
          (SELECT q.id FROM leases l JOIN questions q ON q.id = l.question_id
           WHERE l.caller_id = $1 AND l.state = 'ANSWERED' AND ($2::bigint = 0 OR q.run_id = $2))
        ORDER BY id FOR NO KEY UPDATE)sql",
           id, request.run_id());
    const pqxx::result rows =
        t.Exec(R"sql(
        WITH old AS (
            SELECT l.id, l.run_id, l.question_id, l.lease_id, l.surplus, s.holds_slot
            FROM standing_labels l JOIN leases s ON s.id = l.lease_id AND s.state = 'ANSWERED'
            WHERE l.caller_id = $1 AND ($2::bigint = 0 OR l.run_id = $2)
              AND l.answered_at >= to_timestamp($3::double precision / 1000)),
          taken AS (
            INSERT INTO labels (run_id, question_id, lease_id, caller_id, idempotency_key,
              body_sha256, supersedes, retraction, surplus, counts, retracted_by)
            SELECT run_id, question_id, lease_id, $1, NULL, $4, id, true, surplus, false, $5
            FROM old ORDER BY id),
          ended AS (UPDATE leases s SET state = 'EXPIRED', holds_slot = false, closed = true
            FROM old WHERE s.id = old.lease_id),
          opened AS (UPDATE questions q SET open_slots = q.open_slots + 1 FROM old
            WHERE q.id = old.question_id AND old.holds_slot RETURNING q.id, q.made_for)
        SELECT run_id, count(*), (SELECT count(*) FROM opened WHERE made_for IS NULL)
        FROM old GROUP BY run_id ORDER BY run_id)sql",
               id, request.run_id(), request.since_ms(), Bytes{body}, caller.id);
    for (const auto& row : rows) {
      retracted.run_ids.push_back(Int(row[0]));
      retracted.response.set_labels(retracted.response.labels() + Int(row[1]));
      retracted.response.set_reopened_questions(Int(row[2]));
      Audit(t, caller.id, Int(row[0]), "retract labels",
            absl::StrCat(Int(row[1]), " labels of labeler ", id, " since ", request.since_ms(),
                         " ms"));
    }
    RememberAnswer(t, caller.id, request, retracted.response);
    if (!rows.empty()) t.Signal(kQuestionsTopic);
    return retracted;
  });
}

}  // namespace backflip::preference_broker
