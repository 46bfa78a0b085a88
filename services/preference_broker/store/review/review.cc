#include "services/preference_broker/store/review/review.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/labeling/answers.h"
#include "services/preference_broker/store/people/people.h"
#include "services/preference_broker/store/runs/runs.h"
#include "services/preference_broker/trust/agreement.h"
#include "services/preference_broker/trust/dawid_skene.h"
#include "services/preference_broker/trust/progress.h"

namespace backflip::preference_broker {
namespace {

// The values of a pair's answer, in their order.
enum PairValue { kFirstBetter, kEqual, kSecondBetter, kPairValues };

// Of Dawid and Skene's confusion matrices: a labeler of few answers stays near
// chance.
constexpr double kSmoothing = 0.5;
constexpr int kLeastVotes = 5;
constexpr int64_t kMostPausedNamed = 20;

// An answer to a question that two or more may have answered.
struct SharedAnswer {
  int64_t question = 0;
  int64_t caller = 0;
  int clips = 0;
  v1::Answer answer;  // in the question's own order
};

std::vector<SharedAnswer> SharedAnswers(Transaction& t, int64_t run_id) {
  std::vector<SharedAnswer> answers;
  for (const auto& row :
       // a question has more answers than it wants only where some are a surplus
       t.Exec(
           "SELECT l.question_id, l.caller_id, s.turned, l.choice, l.ranking, CASE WHEN l.ranking "
           "IS NULL THEN 2 "
           "  ELSE (SELECT count(*) FROM question_clips p WHERE p.question_id = l.question_id) END "
           "FROM standing_labels l JOIN leases s ON s.id = l.lease_id "
           "WHERE ($1::bigint = 0 OR l.run_id = $1) AND l.question_id IN ( "
           "  SELECT id FROM questions WHERE overlap > 1 AND ($1::bigint = 0 OR run_id = $1) "
           "  UNION SELECT question_id FROM labels WHERE surplus AND ($1::bigint = 0 OR run_id = "
           "$1)) "
           "ORDER BY l.question_id, l.id",
           run_id)) {
    SharedAnswer& answer = answers.emplace_back();
    answer.question = Int(row[0]);
    answer.caller = Int(row[1]);
    answer.clips = Int(row[5]);
    answer.answer = AnswerFromFields(row[3], row[4]);
    if (Bool(row[2])) answer.answer = Turned(answer.answer, answer.clips);
  }
  return answers;
}

// What an answer says of the pairs of its question's clips, in the order of
// (i, j), i < j. Empty: nothing (cannot tell, broken).
std::vector<PairValue> PairValues(const SharedAnswer& answer) {
  if (answer.answer.has_ranking()) {
    std::vector<int> rank(answer.clips);
    for (int group = 0; group < answer.answer.ranking().groups_size(); ++group) {
      for (const int32_t position : answer.answer.ranking().groups(group).positions()) {
        if (position >= 0 && position < answer.clips) rank[position] = group;
      }
    }
    std::vector<PairValue> values;
    for (int i = 0; i < answer.clips; ++i) {
      for (int j = i + 1; j < answer.clips; ++j) {
        values.push_back(rank[i] < rank[j]   ? kFirstBetter
                         : rank[i] > rank[j] ? kSecondBetter
                                             : kEqual);
      }
    }
    return values;
  }
  switch (answer.answer.choice()) {
    case v1::LEFT:
      return {kFirstBetter};
    case v1::TIE:
      return {kEqual};
    case v1::RIGHT:
      return {kSecondBetter};
    default:
      return {};
  }
}

// Votes on pairs with two or more of them; labelers by their place in `callers`.
struct SharedVotes {
  std::vector<trust::Vote> votes;
  std::vector<int64_t> callers;
  int items = 0;
  int64_t questions = 0;
  int64_t answers = 0;
};

SharedVotes VotesOf(const std::vector<SharedAnswer>& answers) {
  SharedVotes shared;
  std::map<int64_t, int> places;
  for (size_t begin = 0, end = 0; begin < answers.size(); begin = end) {
    std::vector<std::pair<int64_t, std::vector<PairValue>>> said;
    for (end = begin; end < answers.size() && answers[end].question == answers[begin].question;
         ++end) {
      std::vector<PairValue> values = PairValues(answers[end]);
      if (!values.empty()) said.emplace_back(answers[end].caller, std::move(values));
    }
    if (said.size() < 2) continue;
    ++shared.questions;
    shared.answers += said.size();
    for (const auto& [caller, values] : said) {
      const auto [place, fresh] = places.emplace(caller, static_cast<int>(shared.callers.size()));
      if (fresh) shared.callers.push_back(caller);
      for (size_t i = 0; i < values.size(); ++i) {
        shared.votes.push_back({shared.items + static_cast<int>(i), place->second, values[i]});
      }
    }
    shared.items += said.front().second.size();
  }
  return shared;
}

void AddProgress(Transaction& t, v1::Dashboard* dashboard) {
  const v1::Run& run = dashboard->run();
  std::vector<trust::ProgressAnswer> answers;
  // the first clip of such a question is the newest policy's
  for (const auto& row : t.Exec("SELECT k.iteration, turned_choice(l.choice, s.turned) "
                                "FROM questions q JOIN standing_labels l ON l.question_id = q.id "
                                "JOIN leases s ON s.id = l.lease_id "
                                "JOIN question_clips p ON p.question_id = q.id AND p.position = 0 "
                                "JOIN clips k ON k.id = p.clip_id "
                                "WHERE q.run_id = $1 AND q.purpose = 'PROGRESS' AND l.choice IN "
                                "('LEFT', 'TIE', 'RIGHT') "
                                "ORDER BY k.iteration, l.id",
                                run.id())) {
    const v1::Choice choice = ChoiceFromField(row[1]);
    answers.push_back({Int(row[0]), choice == v1::LEFT ? 1.0 : choice == v1::TIE ? 0.5 : 0.0});
  }
  const std::vector<trust::ProgressPoint> points = trust::ProgressPoints(answers);
  for (const trust::ProgressPoint& point : points) {
    v1::ProgressPoint* out = dashboard->add_progress();
    out->set_iteration(point.iteration);
    out->set_steps((point.iteration + 1) * run.spec().collection().batch_steps());
    out->set_answers(point.answers);
    out->set_win_rate(point.win_rate);
    out->set_low(point.interval.low);
    out->set_high(point.interval.high);
  }
  std::vector<trust::SeriesPoint> predicted;
  for (const auto& row : t.Exec("SELECT iteration, value FROM metric_points WHERE run_id = $1 "
                                "AND name = 'predicted_return' ORDER BY iteration",
                                run.id())) {
    predicted.push_back({Int(row[0]), Double(row[1])});
  }
  if (const auto gamed = trust::GamedReward(points, predicted)) dashboard->add_alerts(*gamed);
}

}  // namespace

absl::StatusOr<int64_t> RunRevision(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<int64_t> {
    const pqxx::result rows = t.Exec("SELECT revision FROM runs WHERE id = $1", run_id);
    if (rows.empty()) return UnknownRun(run_id);
    return Int(rows[0][0]);
  });
}

absl::StatusOr<v1::Dashboard> ReadDashboard(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Dashboard> {
    v1::Dashboard dashboard;
    // first, so that what changes meanwhile is told by a newer revision
    ASSIGN_OR_RETURN(*dashboard.mutable_run(), GetRun(t, run_id, /*with_metrics=*/true));
    const pqxx::row counts = t.Exec(
        "SELECT (SELECT count(*) FROM questions WHERE run_id = $1 AND open_slots > 0 AND made_for "
        "IS NULL), "
        "  (SELECT count(DISTINCT l.question_id) FROM leases l JOIN questions q ON q.id = "
        "l.question_id "
        "    WHERE q.run_id = $1 AND l.state = 'LIVE'), "
        "  (SELECT count(*) FROM standing_labels l WHERE l.run_id = $1 "
        "    AND l.answered_at > now() - interval '1 hour'), "
        "  (SELECT count(*) FROM standing_labels l WHERE l.run_id = $1 AND l.choice = 'BROKEN' "
        "    AND l.answered_at > now() - interval '1 day'), "
        // a heartbeat moves a lease's end to a whole lease from then on
        "  (SELECT count(*) FROM "
        "    (SELECT caller_id FROM labels WHERE run_id = $1 AND answered_at > now() - interval '2 "
        "minutes' "
        "     UNION SELECT l.caller_id FROM leases l JOIN questions q ON q.id = l.question_id "
        "       WHERE q.run_id = $1 AND l.state = 'LIVE' "
        "         AND l.expires_at - l.lease_ms * interval '1 ms' > now() - interval '2 minutes') "
        "active)",
        run_id)[0];
    dashboard.set_open_questions(Int(counts[0]));
    dashboard.set_leased_questions(Int(counts[1]));
    dashboard.set_labels_last_hour(Int(counts[2]));
    dashboard.set_active_labelers(Int(counts[4]));

    const SharedVotes shared = VotesOf(SharedAnswers(t, run_id));
    v1::Agreement* agreement = dashboard.mutable_agreement();
    agreement->set_questions(shared.questions);
    agreement->set_answers(shared.answers);
    using trust::Level;
    if (const auto alpha = trust::KrippendorffAlpha(shared.votes, kPairValues, Level::kNominal)) {
      agreement->set_nominal(*alpha);
    }
    if (const auto alpha = trust::KrippendorffAlpha(shared.votes, kPairValues, Level::kOrdinal)) {
      agreement->set_ordinal(*alpha);
    }

    AddProgress(t, &dashboard);
    if (const int64_t broken = Int(counts[3]); broken > 0) {
      dashboard.add_alerts(
          absl::StrCat(broken, broken == 1 ? " answer" : " answers",
                       " of the last day say that the clips did not show: look at the labels with "
                       "the choice BROKEN."));
    }
    for (const auto& row : t.Exec(
             "SELECT c.name, c.reason FROM callers c WHERE c.state = 'PAUSED' AND c.role IN "
             "('labeler', 'teacher') "
             "  AND (cardinality(c.run_ids) = 0 OR $1 = ANY (c.run_ids)) ORDER BY c.name LIMIT $2",
             run_id, kMostPausedNamed)) {
      const std::string reason = Text(row[1]);
      dashboard.add_alerts(absl::StrCat("Labeler ", Text(row[0]), " is paused",
                                        reason.empty() ? "." : absl::StrCat(": ", reason)));
    }
    return dashboard;
  });
}

absl::StatusOr<v1::ListDisagreementsResponse> ListDisagreements(
    Connection& connection, const v1::ListDisagreementsRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListDisagreementsResponse> {
    RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    // a ranking disagrees as much as its pairs do on average
    std::map<int64_t, std::vector<std::vector<int>>> counts;
    for (const SharedAnswer& answer : SharedAnswers(t, request.run_id())) {
      const std::vector<PairValue> values = PairValues(answer);
      if (values.empty()) continue;
      std::vector<std::vector<int>>& pairs = counts[answer.question];
      pairs.resize(values.size(), std::vector<int>(kPairValues));
      for (size_t i = 0; i < values.size(); ++i) ++pairs[i][values[i]];
    }
    std::vector<std::pair<double, int64_t>> disputed;
    for (const auto& [question, pairs] : counts) {
      double sum = 0;
      for (const std::vector<int>& pair : pairs) sum += trust::NormalizedEntropy(pair);
      if (sum > 0) disputed.emplace_back(sum / pairs.size(), question);
    }
    std::sort(disputed.rbegin(), disputed.rend());  // of equals the newest first
    const size_t limit = request.limit() == 0 ? 10 : request.limit();
    if (disputed.size() > limit) disputed.resize(limit);

    v1::ListDisagreementsResponse response;
    std::map<int64_t, v1::DisputedQuestion*> questions;
    std::vector<int64_t> ids;
    response.mutable_questions()->Reserve(static_cast<int>(disputed.size()));
    for (const auto& [disagreement, id] : disputed) {
      v1::DisputedQuestion* question = response.add_questions();
      question->set_question_id(id);
      question->set_disagreement(disagreement);
      questions[id] = question;
      ids.push_back(id);
    }
    for (const auto& row :
         t.Exec("SELECT p.question_id, k.sha256 FROM question_clips p JOIN clips k ON k.id = "
                "p.clip_id "
                "WHERE p.question_id = ANY ($1::bigint[]) ORDER BY p.question_id, p.position",
                ids)) {
      questions[Int(row[0])]->add_clip_ids(Hex(row[1]));
    }
    // all answers, those too that say nothing of which is better
    for (const auto& row :
         t.Exec("SELECT l.question_id, c.name, s.turned, l.choice, l.ranking, extract(epoch FROM "
                "l.answered_at), l.note "
                "FROM standing_labels l JOIN leases s ON s.id = l.lease_id JOIN callers c ON c.id "
                "= l.caller_id "
                "WHERE l.question_id = ANY ($1::bigint[]) ORDER BY l.question_id, l.id",
                ids)) {
      v1::DisputedQuestion* question = questions[Int(row[0])];
      v1::AnswerOfLabeler* answer = question->add_answers();
      answer->set_labeler(Text(row[1]));
      *answer->mutable_answer() = AnswerFromFields(row[3], row[4]);
      if (Bool(row[2]))
        *answer->mutable_answer() = Turned(answer->answer(), question->clip_ids_size());
      answer->set_answered_ms(Millis(row[5]));
      answer->set_note(Text(row[6]));
    }
    return response;
  });
}

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
