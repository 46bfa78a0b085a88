#include "services/preference_broker/store/labeling/submit.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/experience/answers.h"
#include "services/preference_broker/store/db/requests.h"
#include "services/preference_broker/store/labeling/answers.h"
#include "services/preference_broker/store/labeling/checks.h"
#include "services/preference_broker/store/labeling/leases.h"
#include "services/preference_broker/store/labeling/sessions.h"

namespace backflip::preference_broker {
namespace {

// An answer in hand when a run ends still counts; later on its labels stay as they are.
constexpr int64_t kMinutesAfterEnd = 10;

// A lease under its question's lock.
struct HeldLease {
  int64_t question_id = 0;
  int64_t run_id = 0;
  int64_t open_slots = 0;
  int64_t overlap = 0;
  v1::Purpose purpose = v1::PURPOSE_UNSPECIFIED;
  int clips = 2;
  int64_t gold_id = 0;  // 0: none
  std::string state;
  bool holds_slot = false;
  bool turned = false;
  int64_t age_ms = 0;
  // End of the lease's chain of labels; 0: none yet.
  int64_t label = 0;
  bool retracted = false;
  v1::Answer answer;
  bool surplus = false;
  // What an earlier call with the same idempotency key made; 0: nothing.
  int64_t earlier = 0;
  bool earlier_surplus = false;
};

// Whether a new entry is taken under a lease, as `row` of LockLease shows it.
absl::Status CheckTakesAnswers(const pqxx::row& row, int64_t run_id) {
  if (Text(row["caller_state"]) != "ACTIVE") {
    return absl::PermissionDeniedError(
        absl::StrCat("you are paused, and no answer is taken meanwhile: ", Text(row["reason"])));
  }
  if (Bool(row["closed"])) {
    return absl::FailedPreconditionError(
        "an operator took this answer back, for good: lease another question");
  }
  if (Bool(row["copied"])) {
    return absl::FailedPreconditionError(
        "this answer was given elsewhere and copied here, where nobody changes it");
  }
  if (Bool(row["ended"])) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " ended more than ", kMinutesAfterEnd,
                     " minutes ago: its answers stay as they are"));
  }
  if (Int(row["entries"]) >= kMostEntries) {
    return absl::FailedPreconditionError(absl::StrCat(
        "your answer to this question was changed or taken back ", Int(row["entries"]) - 1,
        " times, and no more is taken: lease another question"));
  }
  return absl::OkStatus();
}

// ALREADY_EXISTS: an earlier call with this key said something else. What CheckTakesAnswers says:
// no entry is taken, and no earlier call with this key made one.
absl::StatusOr<HeldLease> LockLease(Transaction& t, const Caller& caller,
                                    const std::string& lease_id, const std::string& key,
                                    const std::string& body) {
  // each statement sees what was committed before it, so what is read under the
  // question's lock is what its last holder has left
  const pqxx::result questions = t.Exec(R"sql(
      SELECT l.caller_id, q.id, q.run_id, q.open_slots, q.overlap, q.purpose, q.clips,
        coalesce(q.gold_id, 0) AS gold_id
      FROM leases l JOIN questions q ON q.id = l.question_id
      WHERE l.id = $1 FOR NO KEY UPDATE OF q)sql",
                                        lease_id);
  if (questions.empty()) {
    return absl::NotFoundError(
        "there is no such lease: lease a question and answer under its lease_id");
  }
  const pqxx::row question = questions[0];
  if (Int(question["caller_id"]) != caller.id) {
    return absl::PermissionDeniedError(
        "the lease belongs to another labeler: only who leased a question may answer it");
  }
  HeldLease lease;
  lease.question_id = Int(question["id"]);
  lease.run_id = Int(question["run_id"]);
  lease.open_slots = Int(question["open_slots"]);
  lease.overlap = Int(question["overlap"]);
  lease.purpose = Enum<v1::Purpose>(question["purpose"]);
  lease.clips = Int(question["clips"]);
  lease.gold_id = Int(question["gold_id"]);
  const pqxx::row row = t.Exec(R"sql(
      SELECT s.state, s.holds_slot, s.turned,
        (extract(epoch FROM clock_timestamp() - s.leased_at) * 1000)::bigint AS age_ms,
        l.id AS label, l.retraction, l.choice, l.ranking, l.surplus,
        k.id AS earlier, k.surplus AS earlier_surplus, k.body_sha256 = $3 AS same_body,
        c.state AS caller_state, c.reason, s.copied,
        EXISTS (SELECT FROM leases o WHERE o.question_id = s.question_id
          AND o.caller_id = s.caller_id AND o.closed) AS closed,
        coalesce(r.finished_at < now() - $4 * interval '1 minute', false) AS ended,
        (SELECT count(*) FROM labels n
         WHERE n.question_id = s.question_id AND n.caller_id = s.caller_id) AS entries
      FROM leases s JOIN callers c ON c.id = s.caller_id JOIN runs r ON r.id = $5
      LEFT JOIN labels l ON l.lease_id = s.id
        AND NOT EXISTS (SELECT FROM labels n WHERE n.supersedes = l.id)
      LEFT JOIN labels k ON k.caller_id = s.caller_id AND k.idempotency_key = $2
      WHERE s.id = $1 FOR NO KEY UPDATE OF s)sql",
                               lease_id, key, Bytes{body}, kMinutesAfterEnd, lease.run_id)[0];
  lease.state = Text(row["state"]);
  lease.holds_slot = Bool(row["holds_slot"]);
  lease.turned = Bool(row["turned"]);
  lease.age_ms = Int(row["age_ms"]);
  if (!row["label"].is_null()) {
    lease.label = Int(row["label"]);
    lease.retracted = Bool(row["retraction"]);
    lease.answer = AnswerFromFields(row["choice"], row["ranking"]);
    lease.surplus = Bool(row["surplus"]);
  }
  if (!row["earlier"].is_null()) {
    if (!Bool(row["same_body"])) {
      return absl::AlreadyExistsError(absl::StrCat(
          "idempotency_key '", key, "' was used for another answer: choose a new one for each"));
    }
    lease.earlier = Int(row["earlier"]);
    lease.earlier_surplus = Bool(row["earlier_surplus"]);
    return lease;
  }
  RETURN_IF_ERROR(CheckTakesAnswers(row, lease.run_id));
  return lease;
}

// The same answer with the positions of each group in order: as it is stored.
v1::Answer InOrder(v1::Answer answer) {
  if (!answer.has_ranking()) return answer;
  for (v1::RankGroup& group : *answer.mutable_ranking()->mutable_groups()) {
    std::sort(group.mutable_positions()->begin(), group.mutable_positions()->end());
  }
  return answer;
}

// Whether the answers that fill the question's slots prefer different things.
bool Disagree(Transaction& t, int64_t question_id, int clips, int64_t overlap) {
  const pqxx::result rows = t.Exec(R"sql(
      SELECT s.turned, l.choice, l.ranking
      FROM leases s JOIN standing_labels l ON l.lease_id = s.id
      WHERE s.question_id = $1 AND s.state = 'ANSWERED' AND s.holds_slot)sql",
                                   question_id);
  if (static_cast<int64_t>(rows.size()) < overlap) return false;
  std::string first;
  for (const auto& row : rows) {
    const v1::Answer answer = AnswerFromFields(row[1], row[2]);
    if (!experience::Compares(answer)) continue;
    const std::string bytes =
        InOrder(Bool(row[0]) ? experience::Turned(answer, clips) : answer).SerializeAsString();
    if (first.empty()) first = bytes;
    if (bytes != first) return true;
  }
  return false;
}

// The label that `request` only repeats: made by an earlier call, or with the same answer;
// 0: none, so that a new one is to be made. FAILED_PRECONDITION: a label stands that the
// request does not supersede, or it supersedes one that does not stand.
absl::StatusOr<int64_t> RepeatedLabel(const HeldLease& lease, const v1::SubmitRequest& request,
                                      const v1::Answer& answer) {
  const bool stands = lease.label != 0 && !lease.retracted;
  if (stands && !request.has_supersedes()) {
    if (lease.answer.SerializeAsString() == answer.SerializeAsString()) return lease.label;
    return absl::FailedPreconditionError(
        absl::StrCat("the question was answered before with another answer: to change it, name the "
                     "label that it replaces (supersedes: ",
                     lease.label, ")"));
  }
  if (request.has_supersedes() && (!stands || request.supersedes() != lease.label)) {
    return absl::FailedPreconditionError(
        absl::StrCat("label ", request.supersedes(), " is not what stands under this lease",
                     stands ? absl::StrCat(": that is label ", lease.label) : ": no label does"));
  }
  return 0;
}

// The lease's deadline has passed, but human time is precious: the answer takes the slot
// of a newer lease of the same labeler on the question, or an open one; with neither it is
// a surplus.
absl::Status TakeSlotAgain(Transaction& t, const Caller& caller, HeldLease* lease) {
  const pqxx::result newer = t.Exec(
      "SELECT id, state, holds_slot FROM leases WHERE caller_id = $1 AND question_id = $2 "
      "AND state IN ('LIVE', 'ANSWERED')",
      caller.id, lease->question_id);
  if (!newer.empty() && Text(newer[0][1]) == "ANSWERED") {
    return absl::FailedPreconditionError(
        "the question was answered by you under a newer lease: change that answer instead");
  }
  if (!newer.empty()) {
    lease->holds_slot = Bool(newer[0][2]);
    // which did not run out of time
    t.Exec(
        "UPDATE leases SET state = 'EXPIRED', holds_slot = false, expires_at = '-infinity' "
        "WHERE id = $1",
        Text(newer[0][0]));
  } else if (lease->open_slots > 0) {
    t.Exec("UPDATE questions SET open_slots = open_slots - 1 WHERE id = $1", lease->question_id);
    --lease->open_slots;
    lease->holds_slot = true;
  }
  return absl::OkStatus();
}

// Answers the lease and adds the label, whose id is returned. Time is paid by the
// database's clock: at most what has passed since the question was given, and since what
// was paid before.
int64_t InsertLabel(Transaction& t, const Caller& caller, const HeldLease& lease,
                    const v1::SubmitRequest& request, const v1::Answer& answer,
                    const std::string& body) {
  const v1::Timing& timing = request.timing();
  const int64_t active_ms = timing.active_ms() > 0 ? timing.active_ms() : timing.decision_ms();
  const bool counts =
      lease.holds_slot && lease.purpose == v1::TRAIN && experience::Compares(answer);
  if (caller.role == Role::kLabeler) LockPaidTime(t, caller.id);
  return Int(t.Exec(R"sql(
      WITH held AS (UPDATE leases SET state = 'ANSWERED', holds_slot = $3 WHERE id = $1),
        worked AS (INSERT INTO labeler_time AS w (caller_id, run_id, active_ms)
          SELECT $2, $4, greatest(0, least($5::bigint,
            (SELECT (extract(epoch FROM now() - max(last_at)) * 1000)::bigint
             FROM labeler_time WHERE caller_id = $2))) WHERE $6::boolean
          ON CONFLICT (caller_id, run_id) DO UPDATE
          SET active_ms = w.active_ms + excluded.active_ms, last_at = greatest(w.last_at, now()),
            working_since = CASE WHEN w.last_at < now() - interval '5 minutes' THEN now()
              ELSE w.working_since END)
      INSERT INTO labels (run_id, question_id, lease_id, caller_id, idempotency_key, body_sha256,
        supersedes, retraction, choice, ranking, surplus, counts, decision_ms, active_ms, loops,
        first_played_ms, client, note)
      VALUES ($4, $7, $1, $2, $8, $9, $10, false, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
      RETURNING id)sql",
                    request.lease_id(), caller.id, lease.holds_slot, lease.run_id,
                    std::min(active_ms, lease.age_ms), caller.role == Role::kLabeler,
                    lease.question_id, request.idempotency_key(), Bytes{body},
                    lease.label != 0 ? std::optional<int64_t>(lease.label) : std::nullopt,
                    ChoiceField(answer), RankingField(answer), !lease.holds_slot, counts,
                    timing.decision_ms(), timing.active_ms(), timing.loops(),
                    timing.first_played_ms(), request.client(), request.note())[0][0]);
}

}  // namespace

absl::StatusOr<SubmittedLabel> SubmitLabel(Connection& connection, RunCache& runs,
                                           const Caller& caller, const v1::SubmitRequest& request) {
  const std::string body = BodyHash(request);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<SubmittedLabel> {
    ASSIGN_OR_RETURN(HeldLease lease,
                     LockLease(t, caller, request.lease_id(), request.idempotency_key(), body));
    SubmittedLabel label;
    label.run_id = lease.run_id;
    label.question_id = lease.question_id;
    label.purpose = lease.purpose;
    label.age_ms = lease.age_ms;
    const v1::Answer answer = InOrder(request.answer());
    if (lease.purpose == v1::QUALIFICATION)
      label.feedback = FeedbackOn(t, lease.gold_id, lease.turned, answer);
    if (lease.earlier != 0) {
      label.label_id = lease.earlier;
      label.surplus = lease.earlier_surplus;
      return label;
    }
    RETURN_IF_ERROR(experience::CheckAnswer("answer", answer, lease.clips));
    ASSIGN_OR_RETURN(label.label_id, RepeatedLabel(lease, request, answer));
    if (label.label_id != 0) {
      label.surplus = lease.surplus;
      return label;
    }
    if (lease.state == "EXPIRED") RETURN_IF_ERROR(TakeSlotAgain(t, caller, &lease));
    label.label_id = InsertLabel(t, caller, lease, request, answer, body);
    label.surplus = !lease.holds_slot;
    label.fresh = true;
    ASSIGN_OR_RETURN(label.run, runs.Get(t, lease.run_id));
    if (lease.purpose == v1::TRAIN && !label.surplus && lease.open_slots == 0 &&
        lease.overlap < label.run->queries.max_overlap() &&
        Disagree(t, lease.question_id, lease.clips, lease.overlap)) {
      t.Exec(
          "UPDATE questions SET overlap = overlap + 1, open_slots = open_slots + 1 WHERE id = $1",
          lease.question_id);
      label.reopened = true;
    }
    return label;
  });
}

absl::StatusOr<SubmittedLabel> UndoLabel(Connection& connection, const Caller& caller,
                                         const v1::UndoRequest& request) {
  const std::string body = BodyHash(request);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<SubmittedLabel> {
    ASSIGN_OR_RETURN(const HeldLease lease,
                     LockLease(t, caller, request.lease_id(), request.idempotency_key(), body));
    SubmittedLabel entry;
    entry.run_id = lease.run_id;
    entry.question_id = lease.question_id;
    entry.label_id = lease.label;
    if (lease.earlier != 0 || (lease.label != 0 && lease.retracted)) return entry;
    if (lease.label == 0) {
      return absl::FailedPreconditionError("there is no answer under this lease to take back");
    }
    // what is taken back is held again: the page has its next questions beside the one
    const int64_t held =
        Int(t.Exec("SELECT count(*) FROM leases WHERE caller_id = $1 AND "
                   "state = 'LIVE'",
                   caller.id)[0][0]);
    if (caller.role == Role::kLabeler && held >= 2 * kMaxLeasesOfLabeler) {
      return absl::FailedPreconditionError(
          absl::StrCat("you hold ", held, " questions: answer those before you take back more"));
    }
    entry.label_id =
        Int(t.Exec(R"sql(
        INSERT INTO labels (run_id, question_id, lease_id, caller_id, idempotency_key, body_sha256,
          supersedes, retraction, surplus, counts)
        VALUES ($1, $2, $3, $4, $5, $6, $7, true, $8, false) RETURNING id)sql",
                   lease.run_id, lease.question_id, request.lease_id(), caller.id,
                   request.idempotency_key(), Bytes{body}, lease.label, lease.surplus)[0][0]);
    entry.fresh = true;
    // The slot stays with the lease, which is live again: it is given back when
    // that ends, once.
    t.Exec(
        "UPDATE leases SET state = 'LIVE', expires_at = now() + lease_ms * interval '1 ms' "
        "WHERE id = $1",
        request.lease_id());
    return entry;
  });
}

}  // namespace backflip::preference_broker
