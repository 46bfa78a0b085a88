#include "services/preference_broker/store/review/labelers.h"

#include <map>
#include <vector>

#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/people/people.h"
#include "services/preference_broker/store/review/shared_answers.h"
#include "services/preference_broker/trust/dawid_skene.h"

namespace backflip::preference_broker {
namespace {

// Added to each count of Dawid and Skene's confusion matrices: a labeler with few answers
// stays near chance.
constexpr double kSmoothing = 0.5;
// No estimate is given of a labeler with fewer votes.
constexpr int kLeastVotes = 5;

// $1: a run, or 0 for all. `copied`: answered in another run, and counted there. The sides
// of gold pairs and repeats may be in another order than in the pair or the question that
// they repeat.
constexpr char kStatistics[] = R"sql(
WITH counted AS NOT MATERIALIZED (
    SELECT *, $1::bigint = 0 AND starts_with(coalesce(source_key, ''), 'copy of ') AS copied
    FROM standing_labels WHERE $1::bigint = 0 OR run_id = $1),
  answered AS (
    SELECT caller_id, count(*) AS labels,
      percentile_cont(0.5) WITHIN GROUP (ORDER BY decision_ms) FILTER (WHERE decision_ms > 0)
        / 1000 AS median,
      count(*) FILTER (WHERE choice = 'LEFT') AS left_,
      count(*) FILTER (WHERE choice = 'RIGHT') AS right_,
      count(*) FILTER (WHERE choice = 'CANNOT_TELL') AS cannot, max(answered_at) AS last
    FROM counted WHERE NOT copied GROUP BY caller_id),
  gold AS (
    SELECT a.caller_id, count(*) AS asked,
      count(*) FILTER (WHERE turned_choice(a.choice, s.turned <> (f.clip_id <> g.first_clip))
        = g.answer) AS right_
    FROM gold_pairs g JOIN questions q ON q.gold_id = g.id
    JOIN counted a ON a.question_id = q.id AND NOT a.copied
    JOIN leases s ON s.id = a.lease_id
    JOIN question_clips f ON f.question_id = q.id AND f.position = 0
    WHERE q.purpose = 'GOLD' AND ($1::bigint = 0 OR q.run_id = $1) GROUP BY a.caller_id),
  repeats AS (
    SELECT a.caller_id, count(*) AS asked,
      count(*) FILTER (WHERE turned_choice(a.choice, s.turned <> (f.clip_id <> o.clip_id))
        = turned_choice(b.choice, d.turned)) AS same
    FROM questions q JOIN counted a ON a.question_id = q.id AND NOT a.copied
    JOIN counted b ON b.question_id = q.repeat_of AND b.caller_id = a.caller_id AND NOT b.copied
    JOIN leases s ON s.id = a.lease_id JOIN leases d ON d.id = b.lease_id
    JOIN question_clips f ON f.question_id = q.id AND f.position = 0
    JOIN question_clips o ON o.question_id = q.repeat_of AND o.position = 0
    WHERE q.repeat_of IS NOT NULL AND ($1::bigint = 0 OR q.run_id = $1) GROUP BY a.caller_id),
  times AS (
    SELECT caller_id, sum(waiting_ms)::bigint AS waiting, sum(active_ms)::bigint AS active
    FROM labeler_time WHERE $1::bigint = 0 OR run_id = $1 GROUP BY caller_id)
SELECT c.id, c.name, c.role = 'teacher' AS teacher, c.state, c.reason,
  coalesce(n.number, 0) AS number, coalesce(a.labels, 0) AS labels,
  coalesce(a.median, 0) AS median, g.right_::float8 / g.asked AS gold_score,
  coalesce(g.asked, 0) AS gold_answers, p.same::float8 / p.asked AS consistency,
  coalesce(p.asked, 0) AS repeats, a.left_::float8 / nullif(a.left_ + a.right_, 0) AS left_share,
  a.cannot::float8 / a.labels AS cannot_tell_share, r.mean, r.low, r.high,
  extract(epoch FROM a.last) AS last, coalesce(m.waiting, 0) AS waiting,
  coalesce(m.active, 0) AS active
FROM callers c LEFT JOIN answered a ON a.caller_id = c.id
LEFT JOIN gold g ON g.caller_id = c.id LEFT JOIN repeats p ON p.caller_id = c.id
LEFT JOIN times m ON m.caller_id = c.id
LEFT JOIN run_labelers n ON n.run_id = $1 AND n.caller_id = c.id
LEFT JOIN labeler_reliability r ON r.run_id = n.run_id AND r.number = n.number
WHERE c.role IN ('labeler', 'teacher') AND ($1::bigint = 0 OR a.labels > 0
  OR m.caller_id IS NOT NULL OR cardinality(c.run_ids) = 0 OR $1 = ANY (c.run_ids))
ORDER BY c.name)sql";

v1::Labeler LabelerOf(const pqxx::row& row) {
  v1::Labeler labeler;
  labeler.set_id(Int(row["id"]));
  labeler.set_name(Text(row["name"]));
  labeler.set_teacher(Bool(row["teacher"]));
  labeler.set_state(LabelerStateFromField(row["state"]));
  labeler.set_reason(Text(row["reason"]));
  labeler.set_number(Int(row["number"]));
  labeler.set_labels(Int(row["labels"]));
  labeler.set_median_seconds(Double(row["median"]));
  if (!row["gold_score"].is_null()) labeler.set_gold_score(Double(row["gold_score"]));
  labeler.set_gold_answers(Int(row["gold_answers"]));
  if (!row["consistency"].is_null()) labeler.set_self_consistency(Double(row["consistency"]));
  labeler.set_repeats(Int(row["repeats"]));
  if (!row["left_share"].is_null()) labeler.set_left_share(Double(row["left_share"]));
  if (!row["cannot_tell_share"].is_null()) {
    labeler.set_cannot_tell_share(Double(row["cannot_tell_share"]));
  }
  if (!row["mean"].is_null()) {
    labeler.set_reliability(Double(row["mean"]));
    labeler.set_reliability_low(Double(row["low"]));
    labeler.set_reliability_high(Double(row["high"]));
  }
  labeler.set_last_answer_ms(Millis(row["last"]));
  labeler.set_waiting_ms(Int(row["waiting"]));
  labeler.set_active_ms(Int(row["active"]));
  return labeler;
}

void AddDawidSkene(Transaction& t, int64_t run_id, v1::ListLabelersResponse* response) {
  std::map<int64_t, v1::Labeler*> by_id;
  for (v1::Labeler& labeler : *response->mutable_labelers()) by_id[labeler.id()] = &labeler;
  const SharedVotes shared = VotesOf(SharedAnswers(t, run_id));
  trust::DawidSkeneOptions options;
  options.smoothing = kSmoothing;
  const trust::DawidSkene fit = trust::FitDawidSkene(
      shared.votes, shared.items, static_cast<int>(shared.callers.size()), kPairValues, options);
  std::vector<int> votes(shared.callers.size());
  for (const trust::Vote& vote : shared.votes) ++votes[vote.labeler];
  for (size_t i = 0; i < shared.callers.size(); ++i) {
    const auto labeler = by_id.find(shared.callers[i]);
    if (labeler != by_id.end() && votes[i] >= kLeastVotes) {
      labeler->second->set_dawid_skene(fit.Accuracy(static_cast<int>(i)));
    }
  }
}

// $1: a run, or 0 for all; $2, $3: the span, milliseconds since the epoch, $3 0: no end.
constexpr char kStatement[] = R"sql(
WITH span AS (SELECT to_timestamp($2::float8 / 1000) AS since,
    CASE WHEN $3::bigint = 0 THEN 'infinity' ELSE to_timestamp($3::float8 / 1000) END AS until),
  worked AS (
    SELECT l.caller_id, count(*) AS labels, count(*) FILTER (WHERE q.purpose = 'GOLD') AS gold,
      count(*) FILTER (WHERE q.purpose = 'GOLD' AND
        turned_choice(l.choice, s.turned <> (f.clip_id <> g.first_clip)) = g.answer) AS gold_right
    FROM span, standing_labels l JOIN leases s ON s.id = l.lease_id
    JOIN questions q ON q.id = l.question_id LEFT JOIN gold_pairs g ON g.id = q.gold_id
    LEFT JOIN question_clips f ON f.question_id = q.id AND f.position = 0
    WHERE ($1::bigint = 0 OR l.run_id = $1) AND NOT s.copied
      AND l.answered_at >= span.since AND l.answered_at < span.until GROUP BY l.caller_id),
  times AS (
    SELECT d.caller_id, sum(d.active_ms) AS active, sum(d.waiting_ms) AS waiting
    FROM span, labeler_days d
    WHERE ($1::bigint = 0 OR d.run_id = $1) AND d.day >= (span.since AT TIME ZONE 'UTC')::date
      AND d.day::timestamp < span.until AT TIME ZONE 'UTC'
    GROUP BY d.caller_id)
SELECT c.name, coalesce(c.outside_id, '') AS outside_id, coalesce(w.labels, 0) AS labels,
  coalesce(m.active, 0)::float8 / 60000 AS active, coalesce(m.waiting, 0)::float8 / 60000 AS waiting,
  w.gold_right::float8 / nullif(w.gold, 0) AS gold_score,
  CASE WHEN (i.answers_wanted > 0 AND w.labels >= i.answers_wanted)
    OR (i.minutes_wanted > 0 AND m.active + m.waiting >= i.minutes_wanted * 60000)
    THEN i.completion_code ELSE '' END AS completion_code
FROM callers c LEFT JOIN worked w ON w.caller_id = c.id LEFT JOIN times m ON m.caller_id = c.id
LEFT JOIN invites i ON i.id = c.invite_id
WHERE c.role = 'labeler' AND (w.labels > 0 OR m.active + m.waiting > 0)
ORDER BY c.name)sql";

}  // namespace

absl::StatusOr<v1::ListLabelersResponse> LabelerStatistics(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListLabelersResponse> {
    if (run_id != 0) RETURN_IF_ERROR(CheckRunExists(t, run_id));
    v1::ListLabelersResponse response;
    for (const auto& row : t.Exec(kStatistics, run_id)) *response.add_labelers() = LabelerOf(row);
    AddDawidSkene(t, run_id, &response);
    return response;
  });
}

absl::StatusOr<v1::StatementResponse> Statement(Connection& connection,
                                                const v1::StatementRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::StatementResponse> {
    if (request.run_id() != 0) RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    v1::StatementResponse response;
    for (const auto& row :
         t.Exec(kStatement, request.run_id(), request.since_ms(), request.until_ms())) {
      v1::StatementRow* out = response.add_rows();
      out->set_name(Text(row["name"]));
      out->set_outside_id(Text(row["outside_id"]));
      out->set_labels(Int(row["labels"]));
      out->set_active_minutes(Double(row["active"]));
      out->set_waiting_minutes(Double(row["waiting"]));
      if (!row["gold_score"].is_null()) out->set_gold_score(Double(row["gold_score"]));
      out->set_completion_code(Text(row["completion_code"]));
    }
    return response;
  });
}

}  // namespace backflip::preference_broker
