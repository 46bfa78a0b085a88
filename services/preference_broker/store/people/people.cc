#include "services/preference_broker/store/people/people.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/requests.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/people/invites.h"

namespace backflip::preference_broker {
namespace {

absl::Status OfOtherRuns() {
  return absl::PermissionDeniedError(
      "this labeler has to do with runs that your invite is not for: ask an operator, who has to "
      "do with all");
}

// The row, locked, of the person that a request names by id (or 0) or by name. NOT_FOUND:
// there is no such person; PERMISSION_DENIED to callers of some runs, who learn no names of others.
absl::StatusOr<int64_t> PersonOf(Transaction& t, const Caller& caller, int64_t id,
                                 const std::string& name) {
  const pqxx::result rows = t.Exec(
      "SELECT id FROM callers WHERE role IN ('labeler', 'teacher', 'reviewer', 'operator') "
      "  AND CASE WHEN $1::bigint <> 0 THEN id = $1 ELSE name = $2 END FOR NO KEY UPDATE",
      id, name);
  if (!rows.empty()) return Int(rows[0][0]);
  if (!caller.run_ids.empty()) return OfOtherRuns();
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
  return OfOtherRuns();
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

}  // namespace

v1::LabelerState LabelerStateFromField(const pqxx::field& field) {
  const std::string name = Text(field);
  return name == "PAUSED" ? v1::LABELER_PAUSED : name == "REVOKED" ? v1::REVOKED : v1::ACTIVE;
}

absl::Status CheckMayUndo(const Caller& caller, bool by_operator, absl::string_view what) {
  if (!by_operator || caller.role == Role::kOperator) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(what, " by an operator: only an operator may change that"));
}

absl::StatusOr<v1::Labeler> SetLabelerState(Connection& connection, const Caller& caller,
                                            const v1::SetLabelerStateRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Labeler> {
    ASSIGN_OR_RETURN(const int64_t id, PersonOf(t, caller, request.labeler_id(), request.name()));
    RETURN_IF_ERROR(CheckPersonAllowed(t, caller, id));
    const pqxx::row row =
        t.Exec("SELECT state, role, paused_by_operator FROM callers WHERE id = $1", id)[0];
    const bool answers = Text(row[1]) == "labeler" || Text(row[1]) == "teacher";
    if (id == caller.id) return absl::FailedPreconditionError("nobody changes their own state");
    if (!answers && caller.role != Role::kOperator) {
      return absl::PermissionDeniedError(absl::StrCat("a reviewer may not change the state of a ",
                                                      Text(row[1]), ": an operator may"));
    }
    RETURN_IF_ERROR(CheckMayUndo(caller, Bool(row[2]), "this labeler was paused"));
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
        ReleasePlace(t, id);
      }
    } else {
      const bool pause = request.state() == v1::LABELER_PAUSED;
      if (pause && !answers) {
        return absl::FailedPreconditionError(
            "only labelers and teachers are paused; a reviewer is revoked");
      }
      t.Exec(
          "UPDATE callers SET state = $2, reason = $3, warned_at = NULL, rules_since = now(), "
          "paused_by_operator = $4 WHERE id = $1",
          id, pause ? "PAUSED" : "ACTIVE",
          !pause                      ? ""
          : !request.reason().empty() ? request.reason()
                                      : "You were paused by whoever runs this.",
          pause && caller.role == Role::kOperator);
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
    ASSIGN_OR_RETURN(const int64_t id, PersonOf(t, caller, request.labeler_id(), request.name()));
    RETURN_IF_ERROR(CheckPersonAllowed(t, caller, id));
    if (id == caller.id)
      return absl::FailedPreconditionError("nobody forgets themselves: another operator may");
    v1::ForgetLabelerResponse response;
    response.set_name(absl::StrCat("forgotten-", base::RandomHex128().substr(0, 12)));
    EndLeases(t, id);
    ReleasePlace(t, id);
    t.Exec("DELETE FROM tokens WHERE caller_id = $1", id);
    // (a group's name is not a person's)
    t.Exec(
        "UPDATE invites SET name = $2 "
        "WHERE NOT is_group AND id = (SELECT invite_id FROM callers WHERE id = $1)",
        id, response.name());
    t.Exec(
        "UPDATE callers SET name = $2, outside_id = NULL, outside_key = NULL, state = 'REVOKED', "
        "reason = '', "
        "warned_at = NULL, seen_at = NULL, forgotten_at = now() WHERE id = $1",
        id, response.name());
    Audit(t, caller.id, 0, "forget labeler", absl::StrCat("labeler ", id));
    return response;
  });
}

absl::StatusOr<v1::Labeler> ResetLabeler(Connection& connection, const Caller& caller,
                                         const v1::ResetLabelerRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Labeler> {
    ASSIGN_OR_RETURN(const int64_t id, PersonOf(t, caller, request.labeler_id(), request.name()));
    RETURN_IF_ERROR(CheckPersonAllowed(t, caller, id));
    if (t.Exec("UPDATE callers SET may_return = true "
               "WHERE id = $1 AND outside_id IS NOT NULL AND state <> 'REVOKED' RETURNING id",
               id)
            .empty()) {
      return absl::FailedPreconditionError(
          "only labelers of a group who are not revoked start again by their id: invite others "
          "anew");
    }
    t.Exec("UPDATE tokens SET revoked_at = now() WHERE caller_id = $1 AND revoked_at IS NULL", id);
    Audit(t, caller.id, 0, "reset labeler", absl::StrCat("labeler ", id));
    return LabelerOf(t, id);
  });
}

absl::StatusOr<RetractedLabels> RetractLabels(Connection& connection, const Caller& caller,
                                              const v1::RetractLabelsRequest& request) {
  const std::string body = BodyHash(request);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<RetractedLabels> {
    RetractedLabels retracted;
    ASSIGN_OR_RETURN(const bool answered, AnsweredBefore(t, request, &retracted.response));
    if (answered) return retracted;
    ASSIGN_OR_RETURN(const int64_t id, PersonOf(t, caller, request.labeler_id(), request.name()));
    if (request.run_id() != 0) RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    // they may have given hundreds of thousands
    t.AllowMinutes();
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
