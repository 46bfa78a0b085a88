#include "services/preference_broker/store/labeling/reliability.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/runs/claims.h"

namespace backflip::preference_broker {

absl::Status ReportReliability(Connection& connection, const Caller& caller,
                               const v1::ReportReliabilityRequest& request) {
  std::vector<int32_t> numbers;
  std::vector<double> means, lows, highs;
  std::vector<int64_t> labels;
  for (const v1::Reliability& labeler : request.labelers()) {
    numbers.push_back(labeler.labeler());
    means.push_back(labeler.mean());
    lows.push_back(labeler.low());
    highs.push_back(labeler.high());
    labels.push_back(labeler.labels());
  }
  return connection.Transact([&](Transaction& t) -> absl::Status {
    const int64_t run_id = request.run_id();
    RETURN_IF_ERROR(CheckEpoch(t, run_id, caller.role, request.epoch()));
    const pqxx::result strangers = t.Exec(
        "SELECT u.number FROM unnest($2::integer[]) AS u(number) WHERE NOT EXISTS "
        "  (SELECT FROM run_labelers n WHERE n.run_id = $1 AND n.number = u.number) LIMIT 1",
        run_id, numbers);
    if (!strangers.empty()) {
      return absl::NotFoundError(
          absl::StrCat("run ", run_id, " has no labeler ", Int(strangers[0][0]),
                       ": numbers of labelers come with the run's label feed"));
    }
    t.Exec("DELETE FROM labeler_reliability WHERE run_id = $1", run_id);
    t.Exec(
        "INSERT INTO labeler_reliability (run_id, number, mean, low, high, labels) "
        "SELECT $1, * FROM unnest($2::integer[], $3::double precision[], $4::double precision[], "
        "  $5::double precision[], $6::bigint[])",
        run_id, numbers, means, lows, highs, labels);
    TouchRun(t, run_id);
    return absl::OkStatus();
  });
}

}  // namespace backflip::preference_broker
