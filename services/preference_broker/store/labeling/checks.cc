#include "services/preference_broker/store/labeling/checks.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/experience/answers.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/labeling/answers.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {
namespace {

// Number of answers among which repeats are chosen, so that nobody can tell which comes next.
constexpr int64_t kRepeatAmong = 40;

// One that was made before for the caller, whose lease ran out of time: asked again, so that each
// check is answered once. nullopt: an answer under the old lease was faster.
std::optional<MadeQuestion> AskAgain(Transaction& t, int64_t question_id) {
  if (t.Exec("SELECT FROM questions WHERE id = $1 AND open_slots > 0 FOR NO KEY UPDATE",
             question_id)
          .empty()) {
    return std::nullopt;
  }
  MadeQuestion again;
  again.id = question_id;
  return again;
}

MadeQuestion Make(Transaction& t, int64_t caller_id, int64_t run_id, const char* purpose,
                  std::optional<int64_t> gold_id, std::optional<int64_t> repeat_of,
                  const std::vector<int64_t>& clips) {
  MadeQuestion made;
  made.id = Int(t.Exec(R"sql(
      WITH made AS (
          INSERT INTO questions (run_id, purpose, overlap, open_slots, gold_id, repeat_of,
            made_for, clips)
          VALUES ($1, $2, 1, 1, $3, $4, $5, cardinality($6::bigint[])) RETURNING id),
        shown AS (
          INSERT INTO question_clips (question_id, position, clip_id)
          SELECT made.id, u.position - 1, u.clip
          FROM made, unnest($6::bigint[]) WITH ORDINALITY AS u(clip, position))
      SELECT id FROM made)sql",
                       run_id, purpose, gold_id, repeat_of, caller_id, clips)[0][0]);
  return made;
}

}  // namespace

Qualification QualificationOf(Transaction& t, int64_t caller_id, const LabelingConfig& run) {
  Qualification qualification;
  const int64_t wanted = run.quality.qualification();
  if (wanted == 0) return qualification;
  const pqxx::row row = t.Exec(R"sql(
      SELECT (SELECT count(*) FROM gold_pairs
          WHERE run_id = $2 AND use = 'QUALIFY' AND removed_at IS NULL),
        (SELECT count(*) FROM questions q WHERE q.made_for = $1 AND q.run_id = $2
          AND q.purpose = 'QUALIFICATION' AND q.open_slots = 0
          AND NOT EXISTS (SELECT FROM labels l WHERE l.question_id = q.id)))sql",
                               caller_id, run.id)[0];
  const int64_t pairs = std::min(wanted, Int(row[0]));
  if (pairs == 0) return qualification;
  const pqxx::result answers = t.Exec(R"sql(
      SELECT q.gold_id, coalesce(l.choice = turned_choice(g.answer, s.turned), false) AS right_one,
        l.answered_at > coalesce(c.rules_since, '-infinity') AS fresh
      FROM questions q JOIN gold_pairs g ON g.id = q.gold_id JOIN callers c ON c.id = q.made_for
      JOIN labels l ON l.question_id = q.id AND l.supersedes IS NULL
      JOIN leases s ON s.id = l.lease_id
      WHERE q.made_for = $1 AND q.run_id = $2 AND q.purpose = 'QUALIFICATION'
      ORDER BY l.id)sql",
                                      caller_id, run.id);
  const int64_t needed =
      static_cast<int64_t>(std::ceil(run.quality.qualification_pass_mark() * pairs - 1e-9));
  // Of each pair the first answer in a try counts: the feedback tells what others would be right.
  std::set<int64_t> tried;
  int64_t right = 0;
  int tries = 0, failed = 0;
  for (const auto& answer : answers) {
    if (!tried.insert(Int(answer["gold_id"])).second) continue;
    right += Bool(answer["right_one"]);
    if (static_cast<int64_t>(tried.size()) < pairs) continue;
    if (right >= needed) return {};
    ++tries;
    failed += Bool(answer["fresh"]);
    qualification.message =
        absl::StrCat("You answered ", right, " of ", pairs, " practice pairs as expected, and ",
                     needed, " are needed. ");
    tried.clear();
    right = 0;
  }
  qualification.left = pairs - static_cast<int64_t>(tried.size());
  qualification.tried.assign(tried.begin(), tried.end());
  qualification.held = Int(row[1]);
  qualification.failed = failed >= run.quality.qualification_tries();
  if (tries > 0) {
    qualification.message += qualification.failed
                                 ? "That was the last try: write to who invited you."
                                 : "Here is another try.";
  }
  return qualification;
}

std::optional<MadeQuestion> MakeQualification(Transaction& t, int64_t caller_id, int64_t run_id,
                                              const std::vector<int64_t>& tried) {
  const pqxx::result pairs = t.Exec(R"sql(
      SELECT g.id, g.first_clip, g.second_clip, mine.given_back FROM gold_pairs g
      LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE answered) AS answers,
          bool_or(NOT answered AND open_slots = 0) AS held,
          min(id) FILTER (WHERE NOT answered AND open_slots > 0) AS given_back
        FROM (SELECT q.id, q.open_slots,
            EXISTS (SELECT FROM labels l WHERE l.question_id = q.id) AS answered
          FROM questions q WHERE q.made_for = $1 AND q.run_id = $2 AND q.gold_id = g.id) a
        ) mine ON true
      WHERE g.run_id = $2 AND g.use = 'QUALIFY' AND g.removed_at IS NULL
        AND mine.held IS NOT TRUE AND g.id <> ALL ($3::bigint[])
      ORDER BY mine.answers, g.id LIMIT 1)sql",
                                    caller_id, run_id, tried);
  if (pairs.empty()) return std::nullopt;
  const pqxx::row row = pairs[0];
  if (!row[3].is_null()) return AskAgain(t, Int(row[3]));
  return Make(t, caller_id, run_id, "QUALIFICATION", Int(row[0]), std::nullopt,
              {Int(row[1]), Int(row[2])});
}

void PauseUnqualified(Transaction& t, int64_t caller_id, int64_t run_id,
                      const std::string& message) {
  if (t.Exec("UPDATE callers SET state = 'PAUSED', reason = $2 WHERE id = $1 AND state = 'ACTIVE' "
             "RETURNING id",
             caller_id, message)
          .empty()) {
    return;
  }
  EndLeases(t, caller_id);
  Audit(t, caller_id, run_id, "paused by the qualification", message);
  TouchRun(t, run_id);
}

std::optional<MadeQuestion> MakeGold(Transaction& t, int64_t caller_id, int64_t run_id,
                                     uint64_t draw) {
  // those that the caller neither holds nor has answered, and no operator took back
  const pqxx::result fresh = t.Exec(R"sql(
      SELECT g.id, g.first_clip, g.second_clip, (SELECT min(q.id) FROM questions q
        WHERE q.made_for = $1 AND q.run_id = $2 AND q.gold_id = g.id) AS given_back
      FROM gold_pairs g
      WHERE g.run_id = $2 AND g.use = 'CHECK' AND g.removed_at IS NULL AND NOT EXISTS (
        SELECT FROM questions q WHERE q.made_for = $1 AND q.run_id = $2 AND q.gold_id = g.id
          AND (q.open_slots = 0 OR EXISTS (
            SELECT FROM leases l WHERE l.question_id = q.id AND l.closed)))
      ORDER BY g.id)sql",
                                    caller_id, run_id);
  if (fresh.empty()) return std::nullopt;
  const pqxx::row row = fresh[draw % fresh.size()];
  if (!row[3].is_null()) return AskAgain(t, Int(row[3]));
  return Make(t, caller_id, run_id, "GOLD", Int(row[0]), std::nullopt, {Int(row[1]), Int(row[2])});
}

std::optional<MadeQuestion> MakeRepeat(Transaction& t, int64_t caller_id, int64_t run_id,
                                       int32_t max_clips, uint64_t draw) {
  const pqxx::result old = t.Exec(R"sql(
      SELECT q.id, s.turned, (SELECT min(r.id) FROM questions r
        WHERE r.made_for = $1 AND r.run_id = $2 AND r.repeat_of = q.id) AS given_back
      FROM (SELECT question_id, lease_id, id FROM standing_labels
        WHERE caller_id = $1 AND run_id = $2 ORDER BY id DESC OFFSET $4 LIMIT $5) l
      JOIN leases s ON s.id = l.lease_id JOIN questions q ON q.id = l.question_id
      WHERE q.purpose = 'TRAIN' AND q.clips <= $3 AND NOT EXISTS (SELECT FROM questions r
        WHERE r.made_for = $1 AND r.run_id = $2 AND r.repeat_of = q.id AND (r.open_slots = 0
          OR EXISTS (SELECT FROM leases c WHERE c.question_id = r.id AND c.closed)))
      ORDER BY l.id)sql",
                                  caller_id, run_id, max_clips, kRepeatAfter, kRepeatAmong);
  if (old.empty()) return std::nullopt;
  const pqxx::row row = old[draw % old.size()];
  std::optional<MadeQuestion> made;
  if (!row[2].is_null()) {
    made = AskAgain(t, Int(row[2]));
  } else {
    made = Make(t, caller_id, run_id, "REPEAT", std::nullopt, Int(row[0]),
                Ints(t.Exec("SELECT clip_id FROM question_clips WHERE question_id = $1 "
                            "ORDER BY position",
                            Int(row[0]))));
  }
  if (made.has_value()) made->turned = !Bool(row[1]);
  return made;
}

v1::Feedback FeedbackOn(Transaction& t, int64_t gold_id, bool turned, const v1::Answer& answer) {
  const pqxx::row row =
      t.Exec("SELECT answer, explanation FROM gold_pairs WHERE id = $1", gold_id)[0];
  const v1::Choice right = Enum<v1::Choice>(row[0]);
  v1::Feedback feedback;
  feedback.mutable_expected()->set_choice(turned ? experience::Turned(right) : right);
  feedback.set_correct(answer.choice() == feedback.expected().choice());
  feedback.set_explanation(Text(row[1]));
  return feedback;
}

}  // namespace backflip::preference_broker
