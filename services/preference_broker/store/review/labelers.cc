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

// Of Dawid and Skene's confusion matrices: a labeler of few answers stays near
// chance.
constexpr double kSmoothing = 0.5;
constexpr int kLeastVotes = 5;

}  // namespace

absl::StatusOr<v1::ListLabelersResponse> LabelerStatistics(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListLabelersResponse> {
    if (run_id != 0) RETURN_IF_ERROR(CheckRunExists(t, run_id));
    v1::ListLabelersResponse response;
    std::map<int64_t, v1::Labeler*> by_id;
    // Gold pairs and repeats, which are few, may have their clips in another order
    // than their questions; `copied` labels were answered in another run.
    for (const auto& row : t.Exec(
             "WITH counted AS NOT MATERIALIZED (SELECT *, $1::bigint = 0 AND "
             "starts_with(coalesce(source_key, ''), 'copy of ') AS copied "
             "    FROM standing_labels WHERE $1::bigint = 0 OR run_id = $1), "
             "  answered AS ( "
             "    SELECT caller_id, count(*) AS labels, "
             "      percentile_cont(0.5) WITHIN GROUP (ORDER BY decision_ms) FILTER (WHERE "
             "decision_ms > 0) / 1000 AS median, "
             "      count(*) FILTER (WHERE choice = 'LEFT') AS left_, count(*) FILTER (WHERE "
             "choice = 'RIGHT') AS right_, "
             "      count(*) FILTER (WHERE choice = 'CANNOT_TELL') AS cannot, max(answered_at) AS "
             "last "
             "    FROM counted WHERE NOT copied GROUP BY caller_id), "
             "  gold AS ( "
             "    SELECT a.caller_id, count(*) AS asked, "
             "      count(*) FILTER (WHERE turned_choice(a.choice, s.turned <> (f.clip_id <> "
             "g.first_clip)) = g.answer) AS right_ "
             "    FROM gold_pairs g JOIN questions q ON q.gold_id = g.id "
             "    JOIN counted a ON a.question_id = q.id AND NOT a.copied JOIN leases s ON s.id = "
             "a.lease_id "
             "    JOIN question_clips f ON f.question_id = q.id AND f.position = 0 "
             "    WHERE q.purpose = 'GOLD' AND ($1::bigint = 0 OR q.run_id = $1) GROUP BY "
             "a.caller_id), "
             "  repeats AS ( "
             "    SELECT a.caller_id, count(*) AS asked, "
             "      count(*) FILTER (WHERE turned_choice(a.choice, s.turned <> (f.clip_id <> "
             "o.clip_id)) "
             "        = turned_choice(b.choice, d.turned)) AS same "
             "    FROM questions q JOIN counted a ON a.question_id = q.id AND NOT a.copied "
             "    JOIN counted b ON b.question_id = q.repeat_of AND b.caller_id = a.caller_id AND "
             "NOT b.copied "
             "    JOIN leases s ON s.id = a.lease_id JOIN leases d ON d.id = b.lease_id "
             "    JOIN question_clips f ON f.question_id = q.id AND f.position = 0 "
             "    JOIN question_clips o ON o.question_id = q.repeat_of AND o.position = 0 "
             "    WHERE q.repeat_of IS NOT NULL AND ($1::bigint = 0 OR q.run_id = $1) GROUP BY "
             "a.caller_id), "
             "  times AS (SELECT caller_id, sum(waiting_ms)::bigint AS waiting, "
             "sum(active_ms)::bigint AS active "
             "    FROM labeler_time WHERE $1::bigint = 0 OR run_id = $1 GROUP BY caller_id) "
             "SELECT c.id, c.name, c.role = 'teacher', c.state, c.reason, coalesce(n.number, 0), "
             "  coalesce(a.labels, 0), coalesce(a.median, 0), g.right_::float8 / g.asked, "
             "coalesce(g.asked, 0), "
             "  p.same::float8 / p.asked, coalesce(p.asked, 0), "
             "  a.left_::float8 / nullif(a.left_ + a.right_, 0), a.cannot::float8 / a.labels, "
             "  r.mean, r.low, r.high, extract(epoch FROM a.last), coalesce(m.waiting, 0), "
             "coalesce(m.active, 0) "
             "FROM callers c LEFT JOIN answered a ON a.caller_id = c.id LEFT JOIN gold g ON "
             "g.caller_id = c.id "
             "LEFT JOIN repeats p ON p.caller_id = c.id LEFT JOIN times m ON m.caller_id = c.id "
             "LEFT JOIN run_labelers n ON n.run_id = $1 AND n.caller_id = c.id "
             "LEFT JOIN labeler_reliability r ON r.run_id = n.run_id AND r.number = n.number "
             "WHERE c.role IN ('labeler', 'teacher') AND ($1::bigint = 0 OR a.labels > 0 OR "
             "m.caller_id IS NOT NULL "
             "  OR cardinality(c.run_ids) = 0 OR $1 = ANY (c.run_ids)) "
             "ORDER BY c.name",
             run_id)) {
      v1::Labeler* labeler = response.add_labelers();
      labeler->set_id(Int(row[0]));
      labeler->set_name(Text(row[1]));
      labeler->set_teacher(Bool(row[2]));
      labeler->set_state(LabelerStateFromField(row[3]));
      labeler->set_reason(Text(row[4]));
      labeler->set_number(Int(row[5]));
      labeler->set_labels(Int(row[6]));
      labeler->set_median_seconds(Double(row[7]));
      if (!row[8].is_null()) labeler->set_gold_score(Double(row[8]));
      labeler->set_gold_answers(Int(row[9]));
      if (!row[10].is_null()) labeler->set_self_consistency(Double(row[10]));
      labeler->set_repeats(Int(row[11]));
      if (!row[12].is_null()) labeler->set_left_share(Double(row[12]));
      if (!row[13].is_null()) labeler->set_cannot_tell_share(Double(row[13]));
      if (!row[14].is_null()) {
        labeler->set_reliability(Double(row[14]));
        labeler->set_reliability_low(Double(row[15]));
        labeler->set_reliability_high(Double(row[16]));
      }
      labeler->set_last_answer_ms(Millis(row[17]));
      labeler->set_waiting_ms(Int(row[18]));
      labeler->set_active_ms(Int(row[19]));
    }
    for (v1::Labeler& labeler : *response.mutable_labelers()) by_id[labeler.id()] = &labeler;

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
    return response;
  });
}

absl::StatusOr<v1::StatementResponse> Statement(Connection& connection,
                                                const v1::StatementRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::StatementResponse> {
    if (request.run_id() != 0) RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    v1::StatementResponse response;
    for (const auto& row : t.Exec(
             "WITH span AS (SELECT to_timestamp($2::float8 / 1000) AS since, "
             "    CASE WHEN $3::bigint = 0 THEN 'infinity' ELSE to_timestamp($3::float8 / 1000) "
             "END AS until), "
             "  worked AS ( "
             "    SELECT l.caller_id, count(*) AS labels, count(*) FILTER (WHERE q.purpose = "
             "'GOLD') AS gold, "
             "      count(*) FILTER (WHERE q.purpose = 'GOLD' AND "
             "        turned_choice(l.choice, s.turned <> (f.clip_id <> g.first_clip)) = g.answer) "
             "AS gold_right "
             "    FROM span, standing_labels l JOIN leases s ON s.id = l.lease_id JOIN questions q "
             "ON q.id = l.question_id "
             "    LEFT JOIN gold_pairs g ON g.id = q.gold_id "
             "    LEFT JOIN question_clips f ON f.question_id = q.id AND f.position = 0 "
             "    WHERE ($1::bigint = 0 OR l.run_id = $1) AND NOT s.copied "
             "      AND l.answered_at >= span.since AND l.answered_at < span.until GROUP BY "
             "l.caller_id), "
             "  times AS (SELECT d.caller_id, sum(d.active_ms) AS active, sum(d.waiting_ms) AS "
             "waiting "
             "    FROM span, labeler_days d WHERE ($1::bigint = 0 OR d.run_id = $1) "
             "      AND d.day >= (span.since AT TIME ZONE 'UTC')::date AND d.day::timestamp < "
             "span.until AT TIME ZONE 'UTC' "
             "    GROUP BY d.caller_id) "
             "SELECT c.name, coalesce(c.outside_id, ''), coalesce(w.labels, 0), coalesce(m.active, "
             "0)::float8 / 60000, "
             "  coalesce(m.waiting, 0)::float8 / 60000, w.gold_right::float8 / nullif(w.gold, 0), "
             "  CASE WHEN (i.answers_wanted > 0 AND w.labels >= i.answers_wanted) OR "
             "(i.minutes_wanted > 0 "
             "    AND m.active + m.waiting >= i.minutes_wanted * 60000) THEN i.completion_code "
             "ELSE '' END "
             "FROM callers c LEFT JOIN worked w ON w.caller_id = c.id LEFT JOIN times m ON "
             "m.caller_id = c.id "
             "LEFT JOIN invites i ON i.id = c.invite_id "
             "WHERE c.role = 'labeler' AND (w.labels > 0 OR m.active + m.waiting > 0) ORDER BY "
             "c.name",
             request.run_id(), request.since_ms(), request.until_ms())) {
      v1::StatementRow* out = response.add_rows();
      out->set_name(Text(row[0]));
      out->set_outside_id(Text(row[1]));
      out->set_labels(Int(row[2]));
      out->set_active_minutes(Double(row[3]));
      out->set_waiting_minutes(Double(row[4]));
      if (!row[5].is_null()) out->set_gold_score(Double(row[5]));
      out->set_completion_code(Text(row[6]));
    }
    return response;
  });
}

}  // namespace backflip::preference_broker
