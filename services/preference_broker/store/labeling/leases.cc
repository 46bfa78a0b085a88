#include "services/preference_broker/store/labeling/leases.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/draws.h"
#include "common/base/status_macros.h"
#include "common/options/run_spec.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/labeling/checks.h"
#include "services/preference_broker/store/labeling/usual_returns.h"
#include "services/preference_broker/store/runs/clips.h"

namespace backflip::preference_broker {
namespace {

// A response that has so many bytes takes no further question: the next may have
// experience::kMaxPayloadBytes, and both must fit into a message.
constexpr size_t kEnoughBytes = 768 << 10;

// Keeps one caller from holding all questions: a page shows one and has the next ones ready.
int64_t MostLeases(Role role) { return role == Role::kLabeler ? kMaxLeasesOfLabeler : 64; }

// Whether the seed of a draw swaps the sides.
bool TurnedBy(uint64_t seed) { return seed % 2 == 1; }

// Why a run that was asked for has nothing to lease.
absl::Status CheckAskedRun(Transaction& t, const Caller& caller, int64_t run_id) {
  const pqxx::result run = t.Exec("SELECT has_true_reward FROM runs WHERE id = $1", run_id);
  if (run.empty()) return UnknownRun(run_id);
  RETURN_IF_ERROR(CheckRunAllowed(caller, run_id));
  if (caller.role == Role::kTeacher && !Bool(run[0][0])) {
    return absl::FailedPreconditionError(
        "the task has no true reward and no rubric, which a teacher answers by: let people "
        "label it, or give task.textproto a true_reward or a rubric");
  }
  return absl::OkStatus();
}

void ExplainNothingToLabel(Transaction& t, const Caller& caller, const LeaseTerms& terms,
                           const CallerStatus& status, LeasedQuestions* leased) {
  v1::LeaseResponse& response = leased->response;
  if (status.runs.empty()) {
    leased->nothing_open = true;
    const pqxx::row runs = t.Exec(R"sql(
        SELECT count(*) AS total, count(*) FILTER (WHERE state = 'PAUSED') AS paused FROM runs
        WHERE ($1::bigint = 0 OR id = $1)
          AND (cardinality($2::bigint[]) = 0 OR id = ANY ($2::bigint[])))sql",
                                  terms.run_id, caller.run_ids)[0];
    response.set_none(Int(runs["paused"]) > 0  ? v1::PAUSED_BY_OPERATOR
                      : Int(runs["total"]) > 0 ? v1::BUDGET_SPENT
                                               : v1::LEARNING);
    return;
  }
  const pqxx::row open = t.Exec(R"sql(
      SELECT bool_or(mine) AS mine, bool_or(NOT mine AND clips > $3) AS larger, count(*) AS total
      FROM (SELECT q.clips, EXISTS (SELECT FROM leases l WHERE l.question_id = q.id
            AND l.caller_id = $2 AND (l.state IN ('LIVE', 'ANSWERED') OR l.closed)) AS mine
          FROM questions q WHERE q.run_id = ANY ($1::bigint[]) AND q.open_slots > 0
            AND q.made_for IS NULL LIMIT 1000) o)sql",
                                status.runs, caller.id, terms.max_clips)[0];
  leased->nothing_open = Int(open["total"]) == 0;
  if (!leased->nothing_open) {
    // neither: other callers held the locks of all of them just now
    response.set_none(Bool(open["larger"]) ? v1::NEEDS_MORE_CLIPS_ON_SCREEN
                      : Bool(open["mine"]) ? v1::ALL_ANSWERED_BY_YOU
                                           : v1::LEARNING);
    return;
  }
  bool spent = true;
  for (const auto& row :
       t.Exec("SELECT spec, labels FROM runs WHERE id = ANY ($1::bigint[])", status.runs)) {
    const v1::RunSpec spec = options::StoredSpec(Blob(row[0]));
    spent = spent && Int(row[1]) >= spec.labels();
  }
  response.set_none(spent ? v1::BUDGET_SPENT : v1::LEARNING);
}

bool IsFull(const v1::LeaseResponse& response) { return response.ByteSizeLong() > kEnoughBytes; }

// What is to be leased now: its row is locked, or made in this transaction.
struct PickedQuestion {
  int64_t id = 0;
  bool turned = false;
  bool practice = false;
};

absl::Status LeasePicked(Transaction& t, const Caller& caller, const LabelingConfig& run,
                         const PickedQuestion& picked, int32_t lease_ms,
                         v1::LeaseResponse* response) {
  v1::Question* const question = response->add_questions();
  question->set_lease_id(base::RandomHex128());
  question->set_lease_ms(lease_ms);
  question->set_text(run.task.question());
  question->set_scene_hash(run.task.scene_hash());
  question->set_playback_fps(run.task.playback_fps());
  question->set_run_id(run.id);
  question->set_must_play_once(caller.role == Role::kLabeler && run.quality.must_play_once());
  question->set_practice(picked.practice);
  // only teachers read the true rewards, which are a column of their own
  for (const auto& row : t.Exec(R"sql(
           WITH taken AS (UPDATE questions SET open_slots = open_slots - 1 WHERE id = $1),
             leased AS (INSERT INTO leases (id, question_id, caller_id, turned, lease_ms, expires_at)
               VALUES ($2, $1, $3, $4, $5::integer, now() + $5::integer * interval '1 ms'))
           SELECT c.picture, CASE WHEN $6::boolean THEN c.truth END
           FROM question_clips p JOIN clips c ON c.id = p.clip_id
           WHERE p.question_id = $1 ORDER BY p.position)sql",
                                picked.id, question->lease_id(), caller.id, picked.turned, lease_ms,
                                caller.role == Role::kTeacher)) {
    RETURN_IF_ERROR(ShowClip(row[0], row[1], question->add_clips()));
  }
  if (picked.turned)
    std::reverse(question->mutable_clips()->begin(), question->mutable_clips()->end());
  if (caller.role == Role::kTeacher)
    RETURN_IF_ERROR(SetUsualReturns(t, run.id, picked.id, question));
  return absl::OkStatus();
}

// The next question that the caller may answer; empty: none. What they let expire comes last. One
// at a time, and with a statement of their own for teachers, so that one plan serves all calls:
// where a limit or a condition depends on a parameter, PostgreSQL plans each call anew.
pqxx::result LockOpenQuestion(Transaction& t, const Caller& caller, int64_t run_id,
                              int32_t max_clips) {
  if (caller.role == Role::kTeacher) {
    // Clips that a person asked about, or that were imported, have no true rewards.
    return t.Exec(R"sql(
        SELECT q.id, q.ordinal FROM questions q
        WHERE q.run_id = $1 AND q.open_slots > 0 AND q.made_for IS NULL AND q.clips <= $3
          AND NOT EXISTS (SELECT FROM leases l WHERE l.question_id = q.id AND l.caller_id = $2
            AND (l.state IN ('LIVE', 'ANSWERED') OR l.closed))
          AND NOT EXISTS (SELECT FROM question_clips p JOIN clips k ON k.id = p.clip_id
            WHERE p.question_id = q.id AND k.truth IS NULL)
        ORDER BY q.ordinal FOR NO KEY UPDATE SKIP LOCKED LIMIT 1)sql",
                  run_id, caller.id, max_clips);
  }
  pqxx::result fresh = t.Exec(R"sql(
      SELECT q.id, q.ordinal FROM questions q
      WHERE q.run_id = $1 AND q.open_slots > 0 AND q.made_for IS NULL AND q.clips <= $3
        AND NOT EXISTS (SELECT FROM leases l WHERE l.question_id = q.id AND l.caller_id = $2)
      ORDER BY q.ordinal FOR NO KEY UPDATE SKIP LOCKED LIMIT 1)sql",
                              run_id, caller.id, max_clips);
  if (!fresh.empty()) return fresh;
  return t.Exec(R"sql(
      SELECT q.id, q.ordinal FROM questions q
      WHERE q.run_id = $1 AND q.open_slots > 0 AND q.made_for IS NULL AND q.clips <= $3
        AND NOT EXISTS (SELECT FROM leases l WHERE l.question_id = q.id AND l.caller_id = $2
          AND (l.state IN ('LIVE', 'ANSWERED') OR l.closed))
        AND (SELECT count(*) FROM labels n WHERE n.question_id = q.id AND n.caller_id = $2) < $4
      ORDER BY q.ordinal FOR NO KEY UPDATE SKIP LOCKED LIMIT 1)sql",
                run_id, caller.id, max_clips, kMostEntries);
}

// Whether, and with what, the caller's `nth` lease is a check: a gold pair or a repeat, at
// the run's shares, drawn from its seed; nullopt: none is due, or none is left.
std::optional<PickedQuestion> DrawCheck(Transaction& t, const Caller& caller,
                                        const LabelingConfig& run, uint64_t nth,
                                        int32_t max_clips) {
  const uint64_t id = static_cast<uint64_t>(caller.id);
  const double draw = base::UnitInterval(base::SeedOf(run.seed, base::Draw::kCheck, id, nth));
  const uint64_t which = base::SeedOf(run.seed, base::Draw::kCheck, id, nth, 1);
  const bool turned = TurnedBy(base::SeedOf(run.seed, base::Draw::kCheck, id, nth, 2));
  std::optional<MadeQuestion> made;
  if (draw < run.quality.gold_share()) {
    made = MakeGold(t, caller.id, run.id, which);
  } else if (draw < run.quality.gold_share() + run.quality.repeat_share()) {
    made = MakeRepeat(t, caller.id, run.id, max_clips, which);
  }
  if (!made.has_value()) return std::nullopt;
  return PickedQuestion{made->id, made->turned.value_or(turned), /*practice=*/false};
}

// Leases pairs for practice, or pauses who has failed. False: the caller's qualification is done,
// or the run has none.
absl::StatusOr<bool> LeaseQualification(Transaction& t, const Caller& caller,
                                        const LabelingConfig& run, int32_t count,
                                        const LeaseTerms& terms, v1::LeaseResponse* response) {
  const Qualification qualification = QualificationOf(t, caller.id, run);
  if (qualification.left == 0) return false;
  if (response->message().empty()) response->set_message(qualification.message);
  if (qualification.failed) {
    PauseUnqualified(t, caller.id, run.id, qualification.message);
    // of runs before this one: they ended too
    response->clear_questions();
    response->set_none(v1::YOU_ARE_PAUSED);
    return true;
  }
  const int32_t wanted = std::clamp(qualification.left - qualification.held, 0, count);
  for (int32_t i = 0; i < wanted && !IsFull(*response); ++i) {
    const std::optional<MadeQuestion> made =
        MakeQualification(t, caller.id, run.id, qualification.tried);
    if (!made.has_value()) break;
    const bool turned = TurnedBy(
        base::SeedOf(run.seed, base::Draw::kSide, base::Draw::kCheck, made->id, caller.id));
    RETURN_IF_ERROR(LeasePicked(t, caller, run, {made->id, turned, /*practice=*/true},
                                terms.lease_ms, response));
  }
  return true;
}

// Leases up to `count` questions of one run. True: the caller is kept from others by a
// qualification that is not done.
absl::StatusOr<bool> LeaseOfRun(Transaction& t, RunCache& runs, const Caller& caller,
                                int64_t run_id, int32_t count, const LeaseTerms& terms,
                                v1::LeaseResponse* response) {
  ASSIGN_OR_RETURN(const auto run, runs.Get(t, run_id));
  const bool checked = caller.role == Role::kLabeler;
  if (checked) {
    ASSIGN_OR_RETURN(const bool qualifying,
                     LeaseQualification(t, caller, *run, count, terms, response));
    if (qualifying) return true;
  }
  const bool mixed = checked && run->quality.gold_share() + run->quality.repeat_share() > 0;
  std::optional<uint64_t> nth;
  for (int32_t i = 0; i < count && !IsFull(*response); ++i) {
    const pqxx::result open = LockOpenQuestion(t, caller, run_id, terms.max_clips);
    if (open.empty()) break;
    PickedQuestion picked;
    picked.id = Int(open[0][0]);
    // Drawn from the run's seed, so that a run can be repeated whole, and by labeler, so
    // that with overlap somebody's preference for one side shows.
    picked.turned =
        TurnedBy(base::SeedOf(run->seed, base::Draw::kSide, Int(open[0][1]), caller.id));
    if (mixed) {
      if (!nth.has_value()) {
        nth = static_cast<uint64_t>(
            Int(t.Exec("SELECT count(*) FROM leases WHERE caller_id = $1", caller.id)[0][0]));
      }
      // A check takes the place of a question, which is left to others: nobody
      // gets one where there is nothing else to answer.
      const auto check = DrawCheck(t, caller, *run, (*nth)++, terms.max_clips);
      if (check.has_value()) picked = *check;
    }
    RETURN_IF_ERROR(LeasePicked(t, caller, *run, picked, terms.lease_ms, response));
  }
  return false;
}

}  // namespace

CallerStatus ReadCallerStatus(Transaction& t, const Caller& caller, int64_t run_id) {
  const pqxx::row row = t.Exec(R"sql(
      SELECT c.name, c.state, c.reason,
        (SELECT count(*) FROM leases l WHERE l.caller_id = c.id AND l.state = 'LIVE') AS held,
        coalesce(i.answers_wanted, 0) AS answers_wanted,
        CASE WHEN i.answers_wanted > 0 THEN (SELECT count(*) FROM leases l
          WHERE l.caller_id = c.id AND l.state = 'ANSWERED' AND NOT l.copied) END AS answers,
        coalesce(i.minutes_wanted, 0) AS minutes_wanted,
        CASE WHEN i.minutes_wanted > 0 THEN
          (SELECT coalesce(sum(w.active_ms + w.waiting_ms), 0)::bigint FROM labeler_time w
           WHERE w.caller_id = c.id) END AS worked_ms,
        CASE WHEN lapse.at IS NOT NULL THEN (SELECT count(*)
          FROM (SELECT n.id, n.retraction, n.answered_at FROM labels n WHERE n.caller_id = c.id
            ORDER BY n.id DESC LIMIT 16) newest
          WHERE NOT newest.retraction AND newest.answered_at >= lapse.at
            AND NOT EXISTS (SELECT FROM labels s WHERE s.supersedes = newest.id))
          END AS answered_since,
        coalesce(i.completion_code, '') AS completion_code,
        coalesce(i.redirect_url, '') AS redirect_url,
        ARRAY (SELECT r.id FROM runs r WHERE r.state IN ('QUEUED', 'RUNNING')
          AND ($2::bigint = 0 OR r.id = $2) AND r.reward = 'PREFERENCES' AND NOT r.asking_stopped
          AND (r.has_true_reward OR NOT $3::boolean)
          AND (cardinality(c.run_ids) = 0 OR r.id = ANY (c.run_ids)) ORDER BY r.id) AS runs
      FROM callers c LEFT JOIN invites i ON i.id = c.invite_id
      LEFT JOIN LATERAL (SELECT max(l.expires_at) AS at FROM leases l WHERE l.caller_id = c.id
        AND l.state = 'EXPIRED' AND NOT l.closed AND l.expires_at > '-infinity'
        AND l.expires_at <= now()) lapse ON true
      WHERE c.id = $1)sql",
                               caller.id, run_id, caller.role == Role::kTeacher)[0];
  CallerStatus status;
  status.name = Text(row["name"]);
  status.state = Text(row["state"]);
  status.reason = Text(row["reason"]);
  status.held = Int(row["held"]);
  status.answers_wanted = Int(row["answers_wanted"]);
  status.minutes_wanted = Int(row["minutes_wanted"]);
  if (!row["answers"].is_null()) {
    status.answers_left = std::max<int64_t>(0, status.answers_wanted - Int(row["answers"]));
    status.complete = status.answers_left == 0;
  }
  if (!row["worked_ms"].is_null()) {
    status.complete |= Int(row["worked_ms"]) >= status.minutes_wanted * 60'000;
  }
  if (!row["answered_since"].is_null())
    status.may_hold = kLeasesAfterLapse + Int(row["answered_since"]);
  status.completion_code = Text(row["completion_code"]);
  status.redirect_url = Text(row["redirect_url"]);
  status.runs = Ids(row["runs"]);
  return status;
}

absl::StatusOr<LeasedQuestions> LeaseQuestions(Connection& connection, RunCache& runs,
                                               const Caller& caller, const LeaseTerms& terms) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<LeasedQuestions> {
    LeasedQuestions leased;
    v1::LeaseResponse& response = leased.response;
    // a labeler's calls one after the other, so that together they hold no more than one may
    if (caller.role == Role::kLabeler)
      t.Exec("SELECT FROM callers WHERE id = $1 FOR NO KEY UPDATE", caller.id);
    const CallerStatus status = ReadCallerStatus(t, caller, terms.run_id);
    leased.idle = status.held == 0;
    response.set_message(status.reason);
    if (status.runs.empty() && terms.run_id != 0)
      RETURN_IF_ERROR(CheckAskedRun(t, caller, terms.run_id));
    if (status.state == "PAUSED") {
      response.set_none(v1::YOU_ARE_PAUSED);
      return leased;
    }
    if (status.complete) {
      response.set_none(v1::SESSION_COMPLETE);
      response.set_completion_code(status.completion_code);
      response.set_redirect_url(status.redirect_url);
      return leased;
    }
    int64_t count = terms.count;
    if (status.answers_left >= 0) {
      // no more than are asked for; those that are held come first
      count = std::min(count, status.answers_left - status.held);
      if (count <= 0) {
        response.set_none(v1::LEARNING);
        return leased;
      }
    }
    const int64_t most = MostLeases(caller.role);
    if (!status.runs.empty() && status.held >= most) {
      return absl::FailedPreconditionError(absl::StrCat("you hold ", status.held,
                                                        " leases, and at most ", most,
                                                        " are allowed: answer those first"));
    }
    count = std::min(count, most - status.held);
    if (caller.role == Role::kLabeler && !status.runs.empty()) {
      count = std::min(count, status.may_hold - status.held);
      if (count <= 0) {
        response.set_none(v1::LEARNING);
        if (response.message().empty()) {
          response.set_message(
              "First answer the questions that you have: you let others run out of time.");
        }
        return leased;
      }
    }
    bool qualifying = false;
    for (const int64_t run_id : status.runs) {
      const int32_t wanted = count - response.questions_size();
      if (wanted == 0 || IsFull(response) || response.none() == v1::YOU_ARE_PAUSED) break;
      ASSIGN_OR_RETURN(const bool kept,
                       LeaseOfRun(t, runs, caller, run_id, wanted, terms, &response));
      qualifying = qualifying || kept;
    }
    if (response.questions_size() > 0) return leased;
    if (response.none() == v1::YOU_ARE_PAUSED) return leased;
    if (qualifying) {
      response.set_none(v1::LEARNING);
      if (response.message().empty())
        response.set_message("First answer the pairs for practice that you have.");
      return leased;
    }
    ExplainNothingToLabel(t, caller, terms, status, &leased);
    return leased;
  });
}

absl::StatusOr<int32_t> RenewLeases(Connection& connection, const Caller& caller) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<int32_t> {
    // the caller before their leases, as where those are ended
    t.Exec("UPDATE callers SET seen_at = now() WHERE id = $1", caller.id);
    // in the same order as ExpireLeases, which locks many of them too
    return t
        .Exec(R"sql(
            WITH held AS (SELECT id FROM leases WHERE caller_id = $1 AND state = 'LIVE'
                ORDER BY id FOR NO KEY UPDATE)
            UPDATE leases l SET expires_at = greatest(l.expires_at,
              least(now() + l.lease_ms * interval '1 ms',
                l.leased_at + $2 * l.lease_ms * interval '1 ms')) FROM held
            WHERE l.id = held.id AND l.state = 'LIVE' RETURNING l.id)sql",
              caller.id, kMostRenewals)
        .size();
  });
}

// Also one that reaches further ahead than any is granted for: it was granted before the database's
// clock was set back.
#define IS_OVER "(expires_at <= now() OR expires_at > now() + 2 * lease_ms * interval '1 ms')"

absl::StatusOr<int64_t> ExpireLeases(Connection& connection) {
  return connection.Transact([](Transaction& t) -> absl::StatusOr<int64_t> {
    // questions whose locks are held by others are left to the next call
    const std::vector<int64_t> ids = Ints(t.Exec(R"sql(
        SELECT id FROM questions WHERE id IN
          (SELECT question_id FROM leases WHERE state = 'LIVE' AND )sql" IS_OVER R"sql()
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)sql"));
    if (ids.empty()) return 0;
    const pqxx::result freed = t.Exec(R"sql(
        WITH dead AS (SELECT id, holds_slot FROM leases WHERE question_id = ANY ($1::bigint[])
            AND state = 'LIVE' AND )sql" IS_OVER R"sql( ORDER BY id FOR NO KEY UPDATE),
          gone AS (UPDATE leases l SET state = 'EXPIRED', holds_slot = false FROM dead
            WHERE l.id = dead.id AND l.state = 'LIVE' AND )sql" IS_OVER R"sql(
            RETURNING l.question_id, dead.holds_slot),
          slots AS (SELECT question_id, count(*) FILTER (WHERE holds_slot) AS n FROM gone
            GROUP BY question_id)
        UPDATE questions q SET open_slots = q.open_slots + slots.n FROM slots
        WHERE q.id = slots.question_id RETURNING q.id)sql",
                                      ids);
    if (!freed.empty()) t.Signal(kQuestionsTopic);
    return freed.size();
  });
}
#undef IS_OVER

}  // namespace backflip::preference_broker
