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
#include "common/experience/answers.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/labeling/answers.h"
#include "services/preference_broker/store/review/shared_answers.h"
#include "services/preference_broker/store/runs/runs.h"
#include "services/preference_broker/trust/agreement.h"
#include "services/preference_broker/trust/progress.h"

namespace backflip::preference_broker {
namespace {

constexpr int64_t kMostPausedNamed = 20;

void AddProgress(Transaction& t, v1::Dashboard* dashboard) {
  const v1::Run& run = dashboard->run();
  std::vector<trust::ProgressAnswer> answers;
  // the first clip of such a question is the newest policy's
  for (const auto& row : t.Exec(R"sql(
           SELECT k.iteration, turned_choice(l.choice, s.turned)
           FROM questions q JOIN standing_labels l ON l.question_id = q.id
           JOIN leases s ON s.id = l.lease_id
           JOIN question_clips p ON p.question_id = q.id AND p.position = 0
           JOIN clips k ON k.id = p.clip_id
           WHERE q.run_id = $1 AND q.purpose = 'PROGRESS' AND l.choice IN ('LEFT', 'TIE', 'RIGHT')
           ORDER BY k.iteration, l.id)sql",
                                run.id())) {
    const v1::Choice choice = Enum<v1::Choice>(row[1]);
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

void AddAgreement(Transaction& t, v1::Dashboard* dashboard) {
  const SharedVotes shared = VotesOf(SharedAnswers(t, dashboard->run().id()));
  v1::Agreement* agreement = dashboard->mutable_agreement();
  agreement->set_questions(shared.questions);
  agreement->set_answers(shared.answers);
  using trust::Level;
  if (const auto alpha = trust::KrippendorffAlpha(shared.votes, kPairValues, Level::kNominal)) {
    agreement->set_nominal(*alpha);
  }
  if (const auto alpha = trust::KrippendorffAlpha(shared.votes, kPairValues, Level::kOrdinal)) {
    agreement->set_ordinal(*alpha);
  }
}

void AddPausedLabelers(Transaction& t, v1::Dashboard* dashboard) {
  for (const auto& row : t.Exec(R"sql(
           SELECT c.name, c.reason FROM callers c
           WHERE c.state = 'PAUSED' AND c.role IN ('labeler', 'teacher')
             AND (cardinality(c.run_ids) = 0 OR $1 = ANY (c.run_ids))
           ORDER BY c.name LIMIT $2)sql",
                                dashboard->run().id(), kMostPausedNamed)) {
    const std::string reason = Text(row[1]);
    dashboard->add_alerts(absl::StrCat("Labeler ", Text(row[0]), " is paused",
                                       reason.empty() ? "." : absl::StrCat(": ", reason)));
  }
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
    // first, so that what changes meanwhile has a newer revision
    ASSIGN_OR_RETURN(*dashboard.mutable_run(), GetRun(t, run_id, /*with_metrics=*/true));
    // `active`: who answered, or whose heartbeat renewed a lease, in the last two minutes
    const pqxx::row counts = t.Exec(R"sql(
        SELECT (SELECT count(*) FROM questions
            WHERE run_id = $1 AND open_slots > 0 AND made_for IS NULL) AS open,
          (SELECT count(DISTINCT l.question_id)
            FROM leases l JOIN questions q ON q.id = l.question_id
            WHERE q.run_id = $1 AND l.state = 'LIVE') AS leased,
          (SELECT count(*) FROM standing_labels l
            WHERE l.run_id = $1 AND l.answered_at > now() - interval '1 hour') AS last_hour,
          (SELECT count(*) FROM standing_labels l WHERE l.run_id = $1 AND l.choice = 'BROKEN'
            AND l.answered_at > now() - interval '1 day') AS broken,
          (SELECT count(*) FROM
            (SELECT caller_id FROM labels
              WHERE run_id = $1 AND answered_at > now() - interval '2 minutes'
             UNION SELECT l.caller_id FROM leases l JOIN questions q ON q.id = l.question_id
              WHERE q.run_id = $1 AND l.state = 'LIVE'
                AND l.expires_at - l.lease_ms * interval '1 ms' > now() - interval '2 minutes')
            active) AS active)sql",
                                    run_id)[0];
    dashboard.set_open_questions(Int(counts["open"]));
    dashboard.set_leased_questions(Int(counts["leased"]));
    dashboard.set_labels_last_hour(Int(counts["last_hour"]));
    dashboard.set_active_labelers(Int(counts["active"]));
    AddAgreement(t, &dashboard);
    AddProgress(t, &dashboard);
    if (const int64_t broken = Int(counts["broken"]); broken > 0) {
      dashboard.add_alerts(
          absl::StrCat(broken, broken == 1 ? " answer" : " answers",
                       " of the last day say that the clips did not show: look at the labels with "
                       "the choice BROKEN."));
    }
    AddPausedLabelers(t, &dashboard);
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
      const std::vector<int> values = PairValues(answer);
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
    for (const auto& row : t.Exec(R"sql(
             SELECT p.question_id, k.sha256 FROM question_clips p JOIN clips k ON k.id = p.clip_id
             WHERE p.question_id = ANY ($1::bigint[]) ORDER BY p.question_id, p.position)sql",
                                  ids)) {
      questions[Int(row[0])]->add_clip_ids(Hex(row[1]));
    }
    // all answers, also those that do not say which clip is better
    for (const auto& row : t.Exec(R"sql(
             SELECT l.question_id, c.name, s.turned, l.choice, l.ranking,
               extract(epoch FROM l.answered_at), l.note
             FROM standing_labels l JOIN leases s ON s.id = l.lease_id
             JOIN callers c ON c.id = l.caller_id
             WHERE l.question_id = ANY ($1::bigint[]) ORDER BY l.question_id, l.id)sql",
                                  ids)) {
      v1::DisputedQuestion* question = questions[Int(row[0])];
      v1::AnswerOfLabeler* answer = question->add_answers();
      answer->set_labeler(Text(row[1]));
      *answer->mutable_answer() = AnswerFromFields(row[3], row[4]);
      if (Bool(row[2]))
        *answer->mutable_answer() = experience::Turned(answer->answer(), question->clip_ids_size());
      answer->set_answered_ms(Millis(row[5]));
      answer->set_note(Text(row[6]));
    }
    return response;
  });
}

}  // namespace backflip::preference_broker
