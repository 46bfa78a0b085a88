#include "services/preference_broker/store/labeling/checks.h"

#include <algorithm>
#include <string>

#include "common/experience/answers.h"
#include "services/preference_broker/store/labeling/answers.h"

namespace backflip::preference_broker {
namespace {

// Number of answers among which repeats are chosen, so that nobody can tell which comes next.
constexpr int64_t kRepeatAmong = 40;

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

// Gold pairs of one use that the caller neither holds nor has answered.
pqxx::result FreshGold(Transaction& t, int64_t caller_id, int64_t run_id, const char* use) {
  return t.Exec(R"sql(
      SELECT g.id, g.first_clip, g.second_clip FROM gold_pairs g
      WHERE g.run_id = $2 AND g.use = $3 AND g.removed_at IS NULL AND NOT EXISTS (
        SELECT FROM questions q WHERE q.made_for = $1 AND q.run_id = $2 AND q.gold_id = g.id
          AND q.open_slots = 0)
      ORDER BY g.id)sql",
                caller_id, run_id, use);
}

}  // namespace

int32_t QualificationLeft(Transaction& t, int64_t caller_id, int64_t run_id, int32_t wanted) {
  if (wanted == 0) return 0;
  const pqxx::row row = t.Exec(R"sql(
      SELECT (SELECT count(*) FROM gold_pairs
          WHERE run_id = $2 AND use = 'QUALIFY' AND removed_at IS NULL),
        (SELECT count(DISTINCT q.gold_id) FROM questions q JOIN leases l ON l.question_id = q.id
          AND l.caller_id = $1 AND l.state = 'ANSWERED'
          WHERE q.made_for = $1 AND q.run_id = $2 AND q.purpose = 'QUALIFICATION'))sql",
                               caller_id, run_id)[0];
  return std::max<int64_t>(0, std::min<int64_t>(wanted, Int(row[0])) - Int(row[1]));
}

std::vector<MadeQuestion> MakeQualification(Transaction& t, int64_t caller_id, int64_t run_id,
                                            int32_t count) {
  std::vector<MadeQuestion> made;
  for (const auto& row : FreshGold(t, caller_id, run_id, "QUALIFY")) {
    if (static_cast<int32_t>(made.size()) == count) break;
    made.push_back(Make(t, caller_id, run_id, "QUALIFICATION", Int(row[0]), std::nullopt,
                        {Int(row[1]), Int(row[2])}));
  }
  return made;
}

std::optional<MadeQuestion> MakeGold(Transaction& t, int64_t caller_id, int64_t run_id,
                                     uint64_t draw) {
  const pqxx::result fresh = FreshGold(t, caller_id, run_id, "CHECK");
  if (fresh.empty()) return std::nullopt;
  const pqxx::row row = fresh[draw % fresh.size()];
  return Make(t, caller_id, run_id, "GOLD", Int(row[0]), std::nullopt, {Int(row[1]), Int(row[2])});
}

std::optional<MadeQuestion> MakeRepeat(Transaction& t, int64_t caller_id, int64_t run_id,
                                       int32_t max_clips, uint64_t draw) {
  const pqxx::result old = t.Exec(
      "SELECT q.id, s.turned FROM (SELECT question_id, lease_id, id FROM standing_labels "
      "    WHERE caller_id = $1 AND run_id = $2 ORDER BY id DESC OFFSET $4 LIMIT $5) l "
      "JOIN leases s ON s.id = l.lease_id JOIN questions q ON q.id = l.question_id "
      "WHERE q.purpose = 'TRAIN' AND q.clips <= $3 AND NOT EXISTS (SELECT FROM questions r "
      "  WHERE r.made_for = $1 AND r.run_id = $2 AND r.repeat_of = q.id AND r.open_slots = 0) "
      "ORDER BY l.id",
      caller_id, run_id, max_clips, kRepeatAfter, kRepeatAmong);
  if (old.empty()) return std::nullopt;
  const pqxx::row row = old[draw % old.size()];
  const std::vector<int64_t> clips = Ints(t.Exec(
      "SELECT clip_id FROM question_clips WHERE question_id = $1 ORDER BY position", Int(row[0])));
  MadeQuestion made = Make(t, caller_id, run_id, "REPEAT", std::nullopt, Int(row[0]), clips);
  made.turned = !Bool(row[1]);
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
