#include "services/preference_broker/store/runs/copied_labels.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"

namespace backflip::preference_broker {
namespace {

absl::Status CheckSame(int64_t from_run, absl::string_view what, int64_t there, int64_t here) {
  if (there == here) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the labels of run ", from_run,
                                                    " do not fit: its ", what, " is ", there,
                                                    ", and the new run's is ", here));
}

// In all three statements $1 is the old run, $2 the new one. A clip is the same one where its
// key is; rows of the old run are found in the new one by that.

// $3: with true rewards.
constexpr char kCopyClips[] = R"sql(
INSERT INTO clips (run_id, sha256, iteration, ticket, index, behaviour, picture, physics, truth,
  candidate)
SELECT $2, k.sha256, k.iteration, k.ticket, k.index, k.behaviour, k.picture, k.physics,
  CASE WHEN $3::boolean THEN k.truth END, false
FROM clips k WHERE k.run_id = $1 AND (k.id IN
    (SELECT p.clip_id FROM standing_labels l JOIN questions q ON q.id = l.question_id
     JOIN question_clips p ON p.question_id = q.id
     WHERE l.run_id = $1 AND q.purpose IN ('TRAIN', 'GOLD', 'QUALIFICATION'))
  OR k.id IN
    (SELECT unnest(ARRAY[first_clip, second_clip]) FROM gold_pairs WHERE run_id = $1))
ORDER BY k.id)sql";

constexpr char kCopyGoldPairs[] = R"sql(
INSERT INTO gold_pairs (run_id, first_clip, second_clip, answer, explanation, use, removed_at,
  created_by, set_by_operator)
SELECT $2, a.id, b.id, g.answer, g.explanation, g.use, g.removed_at, g.created_by,
  g.set_by_operator
FROM gold_pairs g JOIN clips c ON c.id = g.first_clip JOIN clips d ON d.id = g.second_clip
JOIN clips a ON a.run_id = $2 AND a.sha256 = c.sha256
JOIN clips b ON b.run_id = $2 AND b.sha256 = d.sha256
WHERE g.run_id = $1 ORDER BY g.id)sql";

// The ids of copied leases and the keys of copied labels are random: nobody can have taken them
// before. Every copied answer holds a slot of a question that wants no other. Says how many labels
// count towards the budget, and how many questions have an ordinal.
constexpr char kCopyAnswers[] = R"sql(
WITH said AS MATERIALIZED (
    SELECT l.*, row_number() OVER (ORDER BY l.position NULLS LAST, l.id) AS place,
      replace(gen_random_uuid()::text, '-', '') AS new_lease, s.turned, s.lease_ms, s.leased_at
    FROM standing_labels l JOIN leases s ON s.id = l.lease_id
    JOIN questions q ON q.id = l.question_id
    WHERE l.run_id = $1 AND q.purpose IN ('TRAIN', 'GOLD', 'QUALIFICATION')),
  asked AS MATERIALIZED (
    SELECT q.*, nextval(pg_get_serial_sequence('questions', 'id')) AS new_id, o.answers,
      CASE WHEN q.purpose = 'TRAIN' THEN row_number() OVER (
        PARTITION BY q.purpose = 'TRAIN' ORDER BY q.ordinal) - 1 END AS new_ordinal,
      coalesce(nullif(q.selector, ''), d.selector, '') AS chosen_by, h.id AS new_gold
    FROM (SELECT question_id, count(*) AS answers FROM said GROUP BY question_id) o
    JOIN questions q ON q.id = o.question_id
    LEFT JOIN rounds d ON d.run_id = q.run_id AND d.round = q.round
    LEFT JOIN gold_pairs g ON g.id = q.gold_id
    LEFT JOIN clips c ON c.id = g.first_clip LEFT JOIN clips e ON e.id = g.second_clip
    LEFT JOIN clips a ON a.run_id = $2 AND a.sha256 = c.sha256
    LEFT JOIN clips b ON b.run_id = $2 AND b.sha256 = e.sha256
    LEFT JOIN gold_pairs h ON h.run_id = $2 AND h.first_clip = a.id AND h.second_clip = b.id
      AND h.use = g.use),
  questioned AS (
    INSERT INTO questions (id, run_id, ordinal, purpose, overlap, open_slots, score, created_at,
      gold_id, selector, made_for, clips) OVERRIDING SYSTEM VALUE
    SELECT new_id, $2, new_ordinal, purpose, least(answers, 100), 0, score, created_at, new_gold,
      chosen_by, made_for, clips FROM asked),
  shown AS (
    INSERT INTO question_clips (question_id, position, clip_id)
    SELECT a.new_id, p.position, k.id
    FROM asked a JOIN question_clips p ON p.question_id = a.id
    JOIN clips c ON c.id = p.clip_id JOIN clips k ON k.run_id = $2 AND k.sha256 = c.sha256),
  leased AS (
    INSERT INTO leases (id, question_id, caller_id, state, holds_slot, turned, lease_ms, leased_at,
      expires_at, copied)
    SELECT s.new_lease, a.new_id, s.caller_id, 'ANSWERED', true, s.turned, s.lease_ms, s.leased_at,
      now(), true
    FROM said s JOIN asked a ON a.id = s.question_id),
  labeled AS (
    INSERT INTO labels (run_id, question_id, lease_id, caller_id, idempotency_key, body_sha256,
      retraction, choice, ranking, surplus, counts, decision_ms, active_ms, loops, client,
      answered_at, position, first_played_ms, note, source_key)
    SELECT $2, a.new_id, s.new_lease, s.caller_id,
      s.new_lease, s.body_sha256, false, s.choice, s.ranking, false,
      a.purpose = 'TRAIN' AND (s.ranking IS NOT NULL OR s.choice IN ('LEFT', 'RIGHT', 'TIE')),
      s.decision_ms, s.active_ms, s.loops, s.client, s.answered_at, s.place, s.first_played_ms,
      s.note, coalesce(s.source_key, 'copy of label ' || s.id)
    FROM said s JOIN asked a ON a.id = s.question_id ORDER BY s.place RETURNING counts),
  numbered AS (
    INSERT INTO run_labelers (run_id, caller_id, number)
    SELECT $2, caller_id, row_number() OVER (ORDER BY min(place)) FROM said GROUP BY caller_id)
SELECT (SELECT count(*) FROM labeled WHERE counts) AS labels,
  (SELECT count(*) FROM asked WHERE purpose = 'TRAIN') AS questions)sql";

}  // namespace

absl::Status CheckLabelsFit(Transaction& t, int64_t from_run, const v1::RunSpec& spec,
                            const v1::TaskInfo& task) {
  const pqxx::result rows = t.Exec("SELECT task FROM runs WHERE id = $1", from_run);
  if (rows.empty()) return UnknownRun(from_run);
  if (spec.reward() != v1::PREFERENCES) {
    return absl::FailedPreconditionError(
        "a run with `reward: TRUE` learns from no labels: leave labels_from_run out");
  }
  v1::TaskInfo from;
  from.ParseFromString(Blob(rows[0][0]));
  RETURN_IF_ERROR(
      CheckSame(from_run, "observation_size", from.observation_size(), task.observation_size()));
  RETURN_IF_ERROR(CheckSame(from_run, "action_size", from.action_size(), task.action_size()));
  return CheckSame(from_run, "clip_steps", from.clip_steps(), task.clip_steps());
}

void CopyLabels(Transaction& t, int64_t from_run, int64_t to_run, bool with_truth) {
  // clips may be gigabytes
  t.AllowMinutes();
  t.Exec(kCopyClips, from_run, to_run, with_truth);
  t.Exec(kCopyGoldPairs, from_run, to_run);
  const pqxx::row copied = t.Exec(kCopyAnswers, from_run, to_run)[0];
  t.Exec("UPDATE runs SET labels = $2, questions = $3 WHERE id = $1", to_run, Int(copied["labels"]),
         Int(copied["questions"]));
}

}  // namespace backflip::preference_broker
