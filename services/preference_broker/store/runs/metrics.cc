#include "services/preference_broker/store/runs/metrics.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/runs/claims.h"
#include "services/preference_broker/store/runs/recordings.h"

namespace backflip::preference_broker {
namespace {

// At most 100 bytes each.
constexpr int kPointsPerPage = 20'000;

void PutMetric(Transaction& t, int64_t run_id, const std::string& name, int64_t iteration,
               int64_t steps, double value) {
  t.Exec(
      "INSERT INTO metric_points (run_id, name, iteration, steps, labels, value) "
      "SELECT $1, $2, $3, $4, labels, $5 FROM runs WHERE id = $1 "
      "ON CONFLICT (run_id, name, iteration) DO UPDATE "
      "SET steps = excluded.steps, labels = excluded.labels, value = excluded.value, at = "
      "excluded.at",
      run_id, name, iteration, steps, value);
}

}  // namespace

absl::Status ReportMetrics(Connection& connection, const Caller& caller,
                           const v1::ReportMetricsRequest& request) {
  // in one order, so that two calls cannot deadlock
  const std::map<std::string, double> values(request.values().begin(), request.values().end());
  return connection.Transact([&](Transaction& t) -> absl::Status {
    RETURN_IF_ERROR(CheckEpoch(t, request.run_id(), caller.role, request.epoch()));
    for (const auto& [name, value] : values) {
      PutMetric(t, request.run_id(), name, request.iteration(), request.steps(), value);
    }
    TouchRun(t, request.run_id());
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::ListMetricsResponse> ListMetrics(Connection& connection,
                                                    const v1::ListMetricsRequest& request) {
  const std::vector<std::string> names(request.names().begin(), request.names().end());
  // "ITERATION NAME" of the last point before
  const std::pair<std::string, std::string> after =
      absl::StrSplit(request.page(), absl::MaxSplits(' ', 1));
  int64_t iteration = -1;
  if (!request.page().empty() && !absl::SimpleAtoi(after.first, &iteration)) {
    return absl::InvalidArgumentError("page must be the next_page of the answer before, or empty");
  }
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListMetricsResponse> {
    RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    v1::ListMetricsResponse response;
    for (const auto& row :
         t.Exec("SELECT name, iteration, steps, labels, value, extract(epoch FROM at) "
                "FROM metric_points WHERE run_id = $1 AND (cardinality($2::text[]) = 0 OR name = "
                "ANY ($2::text[])) AND (iteration, name) > ($3::bigint, $4::text) "
                "ORDER BY iteration, name LIMIT $5",
                request.run_id(), names, iteration, after.second, kPointsPerPage)) {
      v1::MetricPoint& point = *response.add_points();
      point.set_name(Text(row[0]));
      point.set_iteration(Int(row[1]));
      point.set_steps(Int(row[2]));
      point.set_labels(Int(row[3]));
      point.set_value(Double(row[4]));
      point.set_at_ms(Millis(row[5]));
    }
    if (response.points_size() == kPointsPerPage) {
      const v1::MetricPoint& last = *response.points().rbegin();
      response.set_next_page(absl::StrCat(last.iteration(), " ", last.name()));
    }
    return response;
  });
}

absl::Status ReportEvaluation(Connection& connection, const Caller& caller,
                              const v1::ReportEvaluationRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    // one report of a run at a time, so that a mean includes all episodes before it
    if (t.Exec("SELECT FROM runs WHERE id = $1 FOR NO KEY UPDATE", request.run_id()).empty()) {
      return UnknownRun(request.run_id());
    }
    // policy i + 1 is made of batch i
    int64_t newest = request.has_recording() ? request.recording().policy_version() - 1 : 0;
    for (const v1::Evaluation& evaluation : request.episodes())
      newest = std::max({newest, evaluation.iteration(), evaluation.policy_version() - 1});
    RETURN_IF_ERROR(CheckServes(t, caller, request.run_id(), newest));
    std::set<int64_t> versions;
    for (const v1::Evaluation& evaluation : request.episodes()) {
      const std::string bytes = evaluation.SerializeAsString();
      t.Exec(
          "INSERT INTO evaluations (run_id, policy_version, final, episode, evaluation) "
          "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
          request.run_id(), evaluation.policy_version(), evaluation.final(), evaluation.episode(),
          Bytes{bytes});
      if (!evaluation.final()) versions.insert(evaluation.policy_version());
    }
    for (const int64_t version : versions) {
      std::map<std::string, std::pair<double, int>> sums;
      v1::Evaluation evaluation;
      for (const auto& row :
           t.Exec("SELECT evaluation FROM evaluations WHERE run_id = $1 AND policy_version = $2 "
                  "AND NOT final ORDER BY episode",
                  request.run_id(), version)) {
        evaluation.ParseFromString(Blob(row[0]));
        const auto add = [&](const std::string& name, double value) {
          sums[name].first += value;
          ++sums[name].second;
        };
        if (evaluation.has_true_return()) add("true_return", evaluation.true_return());
        for (const auto& [name, value] : evaluation.metrics()) add(name, value);
      }
      for (const auto& [name, sum] : sums) {
        PutMetric(t, request.run_id(), name, evaluation.iteration(), evaluation.steps(),
                  sum.first / sum.second);
      }
    }
    if (request.has_recording()) StoreRecording(t, request.run_id(), request.recording());
    TouchRun(t, request.run_id());
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<v1::Evaluation>> ListEvaluations(Connection& connection,
                                                            int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<v1::Evaluation>> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    std::vector<v1::Evaluation> episodes;
    for (const auto& row : t.Exec("SELECT evaluation FROM evaluations WHERE run_id = $1 "
                                  "ORDER BY policy_version, final, episode",
                                  run_id)) {
      episodes.emplace_back().ParseFromString(Blob(row[0]));
    }
    return episodes;
  });
}

}  // namespace backflip::preference_broker
