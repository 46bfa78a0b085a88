#include "services/preference_broker/store/db/inspect.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/db/migrate.h"

namespace backflip::preference_broker {
namespace {

// A socket has no address; a server on this machine has ours.
constexpr char kFindings[] =
    "SELECT current_setting('server_version'), current_setting('synchronous_commit'), "
    "current_setting('fsync'), pg_database_size(current_database()), "
    "CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') AND "
    "inet_server_addr() IS NOT DISTINCT FROM inet_client_addr() "
    "THEN current_setting('data_directory') ELSE '' END, "
    "extract(epoch from clock_timestamp()), to_regclass('schema_migrations') IS NOT NULL";

}  // namespace

absl::StatusOr<std::string> Inspect(const std::string& url) {
  RETURN_IF_ERROR(CheckSessions(url));
  Connection connection(url, "", nullptr);
  return connection.Transact([](Transaction& t) -> absl::StatusOr<std::string> {
    // it connects and prepares before the clocks are read
    t.Exec("SELECT 1");
    const absl::Time before = absl::Now();
    const pqxx::result rows = t.Exec(kFindings);
    const absl::Time ours = before + (absl::Now() - before) / 2;
    const auto row = rows[0];
    int64_t schema = 0;
    if (Bool(row[6])) schema = Int(t.Exec("SELECT count(*) FROM schema_migrations")[0][0]);
    return absl::StrCat(
        "server_version ", Text(row[0]), "\nschema ", schema, "\nschema_known ",
        AllMigrations().size(), "\nsynchronous_commit ", Text(row[1]), "\nfsync ", Text(row[2]),
        "\nclock_ahead_ms ",
        absl::ToInt64Milliseconds(absl::FromUnixMicros(Double(row[5]) * 1e6) - ours), "\nbytes ",
        Int(row[3]), "\ndata_directory ", Text(row[4]), "\n");
  });
}

}  // namespace backflip::preference_broker
