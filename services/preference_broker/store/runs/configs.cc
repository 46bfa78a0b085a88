#include "services/preference_broker/store/runs/configs.h"

#include <cstdint>
#include <optional>

#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/runs/claims.h"

namespace backflip::preference_broker {
namespace {

constexpr int kMostOfARun = 1000;

void Store(Transaction& t, int64_t run_id, std::optional<int64_t> caller_id,
           const std::string& config) {
  t.Exec(R"sql(
      INSERT INTO run_configs (run_id, caller_id, config) SELECT $1, $2::bigint, $3
      WHERE (SELECT count(*) FROM run_configs WHERE run_id = $1) < $4
      ON CONFLICT DO NOTHING)sql",
         run_id, caller_id, config, kMostOfARun);
}

}  // namespace

absl::Status ReportConfig(Connection& connection, const Caller& caller,
                          const v1::ReportConfigRequest& request, const std::string& of_broker) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    if (caller.role == Role::kWorker) RETURN_IF_ERROR(CheckServes(t, caller, request.run_id(), 0));
    Store(t, request.run_id(), std::nullopt, of_broker);
    Store(t, request.run_id(), caller.id, request.config());
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::ListConfigsResponse> ListConfigs(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListConfigsResponse> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    v1::ListConfigsResponse response;
    for (const auto& row : t.Exec(R"sql(
             SELECT coalesce(c.role, 'broker'), coalesce(c.name, ''), r.config,
               (extract(epoch FROM r.at) * 1000)::bigint
             FROM run_configs r LEFT JOIN callers c ON c.id = r.caller_id
             WHERE r.run_id = $1 ORDER BY r.at, r.caller_id NULLS FIRST)sql",
                                  run_id)) {
      v1::ProgramConfig& config = *response.add_configs();
      config.set_role(Text(row[0]));
      config.set_name(Text(row[1]));
      config.set_config(Text(row[2]));
      config.set_reported_ms(Int(row[3]));
    }
    return response;
  });
}

}  // namespace backflip::preference_broker
