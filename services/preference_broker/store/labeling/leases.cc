#include "services/preference_broker/store/labeling/leases.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/labeling/checks.h"
#include "services/preference_broker/store/runs/clips.h"

namespace backflip::preference_broker {
namespace {

// Keeps one caller from holding all questions.
constexpr int64_t kMaxLeasesOfCaller = 64;
// What is drawn for, among the draws of a run's seed.
constexpr uint64_t kSideDraw = 0x73696465;   // "side"
constexpr uint64_t kCheckDraw = 0x63686563;  // "chec"

// A run that was asked for by name and has nothing to give.
absl::Status CheckAskedRun(Transaction& t, const Caller& caller, int64_t run_id) {
  const pqxx::result run = t.Exec("SELECT has_true_reward FROM runs WHERE id = $1", run_id);
  if (run.empty()) return UnknownRun(run_id);
  RETURN_IF_ERROR(CheckRunAllowed(caller, run_id));
  if (caller.role == Role::kTeacher && !Bool(run[0][0])) {
    return absl::FailedPreconditionError(
        "the task has no true reward, which a teacher answers by: let people label it, "
        "or give task.textproto a true_reward");
  }
  return absl::OkStatus();
}

void TellWhyNone(Transaction& t, const Caller& caller, const LeaseTerms& terms,
                 const Standing& standing, LeasedQuestions* leased) {
  v1::LeaseResponse& response = leased->response;
  if (standing.runs.empty()) {
    leased->nothing_open = true;
    const pqxx::row runs = t.Exec(
        "SELECT count(*), count(*) FILTER (WHERE state = 'PAUSED') FROM runs "
        "WHERE ($1::bigint = 0 OR id = $1) AND (cardinality($2::bigint[]) = 0 OR id = ANY "
        "($2::bigint[]))",
        terms.run_id, caller.run_ids)[0];
    response.set_none(Int(runs[1]) > 0   ? v1::PAUSED_BY_OPERATOR
                      : Int(runs[0]) > 0 ? v1::BUDGET_SPENT
                                         : v1::LEARNING);
    return;
  }
  const pqxx::row open = t.Exec(
      "SELECT bool_or(mine), bool_or(NOT mine AND clips > $3), count(*) FROM (SELECT q.clips, "
      "    EXISTS (SELECT FROM leases l WHERE l.question_id = q.id AND l.caller_id = $2 "
      "      AND l.state IN ('LIVE', 'ANSWERED')) AS mine "
      "  FROM questions q WHERE q.run_id = ANY ($1::bigint[]) AND q.open_slots > 0 AND q.made_for "
      "IS NULL LIMIT 1000) o",
      standing.runs, caller.id, terms.max_clips)[0];
  leased->nothing_open = Int(open[2]) == 0;
  if (!leased->nothing_open) {
    // neither: all were locked just now by who leases them
    response.set_none(Bool(open[1])   ? v1::NEEDS_MORE_CLIPS_ON_SCREEN
                      : Bool(open[0]) ? v1::ALL_ANSWERED_BY_YOU
                                      : v1::LEARNING);
    return;
  }
  bool spent = true;
  for (const auto& row :
       t.Exec("SELECT spec, labels FROM runs WHERE id = ANY ($1::bigint[])", standing.runs)) {
    v1::RunSpec spec;
    spec.ParseFromString(Blob(row[0]));
    spent = spent && Int(row[1]) >= spec.labels();
  }
  response.set_none(spent ? v1::BUDGET_SPENT : v1::LEARNING);
}

// What is to be leased now: its row is locked, or made in this transaction.
struct Picked {
  int64_t question_id = 0;
  bool turned = false;
  bool practice = false;
};

absl::Status LeasePicked(Transaction& t, const Caller& caller, const RunDefinition& run,
                         int64_t run_id, const Picked& picked, int32_t lease_ms,
                         v1::LeaseResponse* response) {
  v1::Question* const question = response->add_questions();
  question->set_lease_id(base::RandomHex128());
  question->set_lease_ms(lease_ms);
  question->set_text(run.task.question());
  question->set_scene_hash(run.task.scene_hash());
  question->set_playback_fps(run.task.playback_fps());
  question->set_run_id(run_id);
  question->set_must_play_once(caller.role == Role::kLabeler &&
                               run.spec.quality().must_play_once());
  question->set_practice(picked.practice);
  // truth is another column: who is no teacher does not read it
  for (const auto& row :
       t.Exec("WITH taken AS (UPDATE questions SET open_slots = open_slots - 1 WHERE id = $1), "
              "  leased AS (INSERT INTO leases (id, question_id, caller_id, turned, lease_ms, "
              "expires_at) "
              "    VALUES ($2, $1, $3, $4, $5::integer, now() + $5::integer * interval '1 ms')) "
              "SELECT c.picture, CASE WHEN $6::boolean THEN c.truth END "
              "FROM question_clips p JOIN clips c ON c.id = p.clip_id WHERE p.question_id = $1 "
              "ORDER BY p.position",
              picked.question_id, question->lease_id(), caller.id, picked.turned, lease_ms,
              caller.role == Role::kTeacher)) {
    RETURN_IF_ERROR(ShowClip(row[0], row[1], question->add_clips()));
  }
  if (picked.turned)
    std::reverse(question->mutable_clips()->begin(), question->mutable_clips()->end());
  return absl::OkStatus();
}

// The next question that the caller may answer; empty: none. One at a time, and a
// teacher's as a statement of its own, so that one plan serves all calls: where a
// limit or a condition hangs on a parameter, PostgreSQL plans each call anew.
pqxx::result LockOpenQuestion(Transaction& t, const Caller& caller, int64_t run_id,
                              int32_t max_clips) {
  if (caller.role == Role::kTeacher) {
    return t.Exec(
        "SELECT q.id, q.ordinal FROM questions q "
        "WHERE q.run_id = $1 AND q.open_slots > 0 AND q.made_for IS NULL AND q.clips <= $3 "
        "  AND NOT EXISTS (SELECT FROM leases l WHERE l.question_id = q.id AND l.caller_id = $2 "
        "    AND l.state IN ('LIVE', 'ANSWERED')) "
        // clips that a person asked about, or that came from elsewhere
        "  AND NOT EXISTS (SELECT FROM question_clips p JOIN clips k ON k.id = p.clip_id "
        "    WHERE p.question_id = q.id AND k.truth IS NULL) "
        "ORDER BY q.ordinal FOR NO KEY UPDATE SKIP LOCKED LIMIT 1",
        run_id, caller.id, max_clips);
  }
  return t.Exec(
      "SELECT q.id, q.ordinal FROM questions q "
      "WHERE q.run_id = $1 AND q.open_slots > 0 AND q.made_for IS NULL AND q.clips <= $3 "
      "  AND NOT EXISTS (SELECT FROM leases l WHERE l.question_id = q.id AND l.caller_id = $2 "
      "    AND l.state IN ('LIVE', 'ANSWERED')) "
      "ORDER BY q.ordinal FOR NO KEY UPDATE SKIP LOCKED LIMIT 1",
      run_id, caller.id, max_clips);
}

// Leases up to `count` questions of one run. Says whether the caller is kept from
// others by a qualification that is not done.
absl::StatusOr<bool> LeaseOfRun(Transaction& t, RunCache& runs, const Caller& caller,
                                int64_t run_id, int32_t count, const LeaseTerms& terms,
                                v1::LeaseResponse* response) {
  ASSIGN_OR_RETURN(const auto run, runs.Get(t, run_id));
  const v1::Quality& quality = run->spec.quality();
  const bool checked = caller.role == Role::kLabeler;
  const uint64_t seed = run->spec.seed();
  const uint64_t id = static_cast<uint64_t>(caller.id);
  if (checked && quality.qualification() > 0) {
    const int32_t left = QualificationLeft(t, caller.id, run_id, quality.qualification());
    if (left > 0) {
      for (const MadeQuestion& made :
           MakeQualification(t, caller.id, run_id, std::min(left, count))) {
        const bool turned =
            base::SeedOf({seed, kSideDraw, kCheckDraw, static_cast<uint64_t>(made.id), id}) % 2 ==
            1;
        RETURN_IF_ERROR(LeasePicked(t, caller, *run, run_id, {made.id, turned, true},
                                    terms.lease_ms, response));
      }
      return true;
    }
  }
  const bool mixed = checked && quality.gold_share() + quality.repeat_share() > 0;
  std::optional<uint64_t> nth;
  for (int32_t i = 0; i < count; ++i) {
    const pqxx::result open = LockOpenQuestion(t, caller, run_id, terms.max_clips);
    if (open.empty()) break;
    Picked picked;
    picked.question_id = Int(open[0][0]);
    // Drawn from the run's seed, so that a run can be repeated whole, and by
    // labeler, so that with overlap a habit of one side shows.
    picked.turned =
        base::SeedOf({seed, kSideDraw, static_cast<uint64_t>(Int(open[0][1])), id}) % 2 == 1;
    if (mixed) {
      if (!nth.has_value()) {
        nth = static_cast<uint64_t>(
            Int(t.Exec("SELECT count(*) FROM leases WHERE caller_id = $1", caller.id)[0][0]));
      }
      // A check takes the place of a question, which is left to others: nobody
      // gets one where there is nothing else to answer.
      const double draw = base::UnitInterval(base::SeedOf({seed, kCheckDraw, id, *nth}));
      const uint64_t which = base::SeedOf({seed, kCheckDraw, id, *nth, 1});
      const bool drawn_side = base::SeedOf({seed, kCheckDraw, id, *nth, 2}) % 2 == 1;
      ++*nth;
      std::optional<MadeQuestion> made;
      if (draw < quality.gold_share()) {
        made = MakeGold(t, caller.id, run_id, which);
      } else if (draw < quality.gold_share() + quality.repeat_share()) {
        made = MakeRepeat(t, caller.id, run_id, terms.max_clips, which);
      }
      if (made.has_value()) picked = {made->id, made->turned.value_or(drawn_side), false};
    }
    RETURN_IF_ERROR(LeasePicked(t, caller, *run, run_id, picked, terms.lease_ms, response));
  }
  return false;
}

}  // namespace

Standing ReadStanding(Transaction& t, const Caller& caller, int64_t run_id) {
  const pqxx::row row = t.Exec(
      "SELECT c.state, c.reason, "
      "  (SELECT count(*) FROM leases l WHERE l.caller_id = c.id AND l.state = 'LIVE'), "
      "  coalesce(i.answers_wanted, 0), CASE WHEN i.answers_wanted > 0 THEN "
      "    (SELECT count(*) FROM leases l WHERE l.caller_id = c.id AND l.state = 'ANSWERED' AND "
      "NOT l.copied) END, "
      "  coalesce(i.minutes_wanted, 0), CASE WHEN i.minutes_wanted > 0 THEN "
      "    (SELECT coalesce(sum(w.active_ms + w.waiting_ms), 0)::bigint FROM labeler_time w "
      "      WHERE w.caller_id = c.id) END, "
      "  coalesce(i.completion_code, ''), "
      "  ARRAY (SELECT r.id FROM runs r WHERE r.state IN ('QUEUED', 'RUNNING') AND ($2::bigint = 0 "
      "OR r.id = $2) "
      "    AND r.reward = 'PREFERENCES' AND NOT r.asking_stopped AND (r.has_true_reward OR NOT "
      "$3::boolean) "
      "    AND (cardinality(c.run_ids) = 0 OR r.id = ANY (c.run_ids)) ORDER BY r.id), c.name "
      "FROM callers c LEFT JOIN invites i ON i.id = c.invite_id WHERE c.id = $1",
      caller.id, run_id, caller.role == Role::kTeacher)[0];
  Standing standing;
  standing.name = Text(row[9]);
  standing.state = Text(row[0]);
  standing.reason = Text(row[1]);
  standing.held = Int(row[2]);
  standing.answers_wanted = Int(row[3]);
  standing.minutes_wanted = Int(row[5]);
  if (!row[4].is_null()) {
    standing.answers_left = std::max<int64_t>(0, standing.answers_wanted - Int(row[4]));
    standing.complete = standing.answers_left == 0;
  }
  if (!row[6].is_null()) standing.complete |= Int(row[6]) >= standing.minutes_wanted * 60'000;
  standing.completion_code = Text(row[7]);
  standing.runs = Ids(row[8]);
  return standing;
}

absl::StatusOr<LeasedQuestions> LeaseQuestions(Connection& connection, RunCache& runs,
                                               const Caller& caller, const LeaseTerms& terms) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<LeasedQuestions> {
    LeasedQuestions leased;
    v1::LeaseResponse& response = leased.response;
    const Standing standing = ReadStanding(t, caller, terms.run_id);
    leased.idle = standing.held == 0;
    response.set_message(standing.reason);
    if (standing.runs.empty() && terms.run_id != 0)
      RETURN_IF_ERROR(CheckAskedRun(t, caller, terms.run_id));
    if (standing.state == "PAUSED") {
      response.set_none(v1::YOU_ARE_PAUSED);
      return leased;
    }
    if (standing.complete) {
      response.set_none(v1::SESSION_COMPLETE);
      response.set_completion_code(standing.completion_code);
      return leased;
    }
    int64_t count = terms.count;
    if (standing.answers_left >= 0) {
      // no more than are asked for; those that are held come first
      count = std::min(count, standing.answers_left - standing.held);
      if (count <= 0) {
        response.set_none(v1::LEARNING);
        return leased;
      }
    }
    if (!standing.runs.empty() && standing.held + count > kMaxLeasesOfCaller) {
      return absl::FailedPreconditionError(absl::StrCat("you hold ", standing.held,
                                                        " leases, and at most ", kMaxLeasesOfCaller,
                                                        " are allowed: answer those first"));
    }
    bool qualifying = false;
    for (const int64_t run_id : standing.runs) {
      const int32_t wanted = count - response.questions_size();
      if (wanted == 0) break;
      ASSIGN_OR_RETURN(const bool kept,
                       LeaseOfRun(t, runs, caller, run_id, wanted, terms, &response));
      qualifying = qualifying || kept;
    }
    if (response.questions_size() > 0) return leased;
    if (qualifying) {
      response.set_none(v1::LEARNING);
      if (response.message().empty())
        response.set_message("First answer the pairs for practice that you have.");
      return leased;
    }
    TellWhyNone(t, caller, terms, standing, &leased);
    return leased;
  });
}

absl::StatusOr<int32_t> RenewLeases(Connection& connection, const Caller& caller) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<int32_t> {
    // in the order of expiry, which takes them in bulk too
    return t
        .Exec(
            "WITH held AS (SELECT id FROM leases WHERE caller_id = $1 AND state = 'LIVE' "
            "    ORDER BY id FOR NO KEY UPDATE), "
            "  seen AS (UPDATE callers SET seen_at = now() WHERE id = $1) "
            "UPDATE leases l SET expires_at = now() + l.lease_ms * interval '1 ms' FROM held "
            "WHERE l.id = held.id AND l.state = 'LIVE' RETURNING l.id",
            caller.id)
        .size();
  });
}

absl::StatusOr<int64_t> ExpireLeases(Connection& connection) {
  return connection.Transact([](Transaction& t) -> absl::StatusOr<int64_t> {
    // questions that somebody works on right now are left to the next look
    const pqxx::result locked = t.Exec(
        "SELECT id FROM questions WHERE id IN "
        "  (SELECT question_id FROM leases WHERE state = 'LIVE' AND expires_at <= now()) "
        "ORDER BY id FOR NO KEY UPDATE SKIP LOCKED");
    if (locked.empty()) return 0;
    std::vector<int64_t> ids;
    for (const auto& row : locked) ids.push_back(Int(row[0]));
    const pqxx::result freed = t.Exec(
        "WITH dead AS (SELECT id, holds_slot FROM leases WHERE question_id = ANY ($1::bigint[]) "
        "    AND state = 'LIVE' AND expires_at <= now() ORDER BY id FOR NO KEY UPDATE), "
        "  gone AS (UPDATE leases l SET state = 'EXPIRED', holds_slot = false FROM dead "
        "    WHERE l.id = dead.id AND l.state = 'LIVE' AND l.expires_at <= now() "
        "    RETURNING l.question_id, dead.holds_slot), "
        "  slots AS (SELECT question_id, count(*) FILTER (WHERE holds_slot) AS n FROM gone GROUP "
        "BY question_id) "
        "UPDATE questions q SET open_slots = q.open_slots + slots.n FROM slots WHERE q.id = "
        "slots.question_id "
        "RETURNING q.id",
        ids);
    if (!freed.empty()) t.Signal(kQuestionsTopic);
    return freed.size();
  });
}

}  // namespace backflip::preference_broker
