// preference-broker migrate | serve
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/time/clock.h"
#include "common/base/log.h"
#include "common/base/program.h"
#include "common/base/retry.h"
#include "services/preference_broker/rpc/broker.h"
#include "services/preference_broker/store/callers.h"
#include "services/preference_broker/store/migrate.h"

ABSL_FLAG(std::string, database, "",
          "PostgreSQL database, as postgresql://[user[:password]@][host][:port]/name[?parameters]. "
          "Default: $BACKFLIP_DATABASE_URL.");
ABSL_FLAG(std::string, listen, "127.0.0.1:7400", "serve: address to listen on, host:port or unix:path.");
ABSL_FLAG(std::string, tokens, "",
          "migrate: folder for one token file per role; those that are missing are made.");
ABSL_FLAG(int, database_connections, 4, "serve: connections to the database.");

namespace backflip::broker {
namespace {

constexpr char kUsage[] =
    "preference-broker migrate --database URL [--tokens DIR]\n"
    "  Brings the database to this program's schema, and makes the tokens of all roles. Safe to\n"
    "  repeat, and to run twice at once.\n\n"
    "preference-broker serve --database URL --listen ADDRESS\n"
    "  Serves runs, clips, questions, labels, snapshots and checkpoints. Ends on SIGTERM.";

int Fail(const absl::Status& status) {
  base::LogError("cannot go on", {{"error", status.message()}});
  return 1;
}

// The database may be starting up beside us.
base::RetryPolicy StartPolicy() {
  base::RetryPolicy policy;
  policy.give_up_after = absl::Seconds(60);
  return policy;
}

int RunMigrate(const std::string& database) {
  Connection connection(database, "", nullptr);
  int applied = 0;
  absl::Status status = base::Retry(StartPolicy(), nullptr, [&] {
    const absl::StatusOr<int> result = Migrate(connection);
    if (result.ok()) applied = *result;
    return result.status();
  });
  if (!status.ok()) return Fail(status);
  base::LogInfo("database is ready", {{"migrations_applied", applied}});
  const std::string tokens = absl::GetFlag(FLAGS_tokens);
  if (!tokens.empty()) {
    status = MakeTokenFiles(connection, tokens);
    if (!status.ok()) return Fail(status);
    base::LogInfo("tokens are ready", {{"folder", tokens}});
  }
  return 0;
}

int RunServe(const std::string& database) {
  base::ShutdownSignal shutdown;
  BrokerOptions options;
  options.database = database;
  options.listen = absl::GetFlag(FLAGS_listen);
  options.connections = absl::GetFlag(FLAGS_database_connections);
  if (options.connections < 1 || options.connections > 64) {
    return Fail(absl::InvalidArgumentError("--database_connections must be from 1 to 64"));
  }
  std::unique_ptr<Broker> broker;
  const absl::Status status = base::Retry(
      StartPolicy(), [&] { return shutdown.Requested(); }, [&] {
        absl::StatusOr<std::unique_ptr<Broker>> started = Broker::Start(options);
        if (started.ok()) broker = *std::move(started);
        return started.status();
      });
  if (!status.ok()) return shutdown.Requested() ? 0 : Fail(status);
  base::LogInfo("serving", {{"address", broker->address()}});
  shutdown.Wait();
  base::LogInfo("draining");
  broker->Drain(absl::Seconds(5));
  base::LogInfo("stopped");
  return 0;
}

}  // namespace
}  // namespace backflip::broker

int main(int argc, char** argv) {
  using namespace backflip;
  // a database host that does not answer is an error soon
  setenv("PGCONNECT_TIMEOUT", "5", /*overwrite=*/0);
  const std::vector<absl::string_view> arguments =
      base::InitProgram(argc, argv, "preference-broker", broker::kUsage);
  std::string database = absl::GetFlag(FLAGS_database);
  if (const char* url = std::getenv("BACKFLIP_DATABASE_URL"); database.empty() && url != nullptr) database = url;
  if (arguments.size() != 1 || (arguments[0] != "migrate" && arguments[0] != "serve")) {
    std::fprintf(stderr, "%s\n", broker::kUsage);
    return 2;
  }
  if (database.empty()) {
    return broker::Fail(absl::InvalidArgumentError(
        "no database is given: pass --database URL, or set BACKFLIP_DATABASE_URL"));
  }
  return arguments[0] == "migrate" ? broker::RunMigrate(database) : broker::RunServe(database);
}
