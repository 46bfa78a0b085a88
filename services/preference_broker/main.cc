// preference-broker migrate | serve | inspect
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/program.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/metrics/metrics.h"
#include "common/rpc/certificates.h"
#include "common/rpc/transport.h"
#include "services/preference_broker/broker.h"
#include "services/preference_broker/store/db/inspect.h"
#include "services/preference_broker/store/db/migrate.h"
#include "services/preference_broker/store/db/url.h"
#include "services/preference_broker/store/people/callers.h"

ABSL_FLAG(std::string, database_url, "",
          "PostgreSQL database, as postgresql://[user[:password]@][host][:port]/name[?parameters]. "
          "With a password it belongs into the environment, since all users see arguments. On "
          "another machine it says its sslmode (docs/security.md)");
ABSL_FLAG(std::string, listen, "127.0.0.1:7400", "serve: address to listen on");
ABSL_FLAG(std::string, tokens, "",
          "migrate: folder for one token file per role; those that are missing are made");
ABSL_FLAG(
    std::string, http_listen, "",
    "serve: address for browsers and JSON clients. Beyond this machine it needs TLS. Empty: no "
    "HTTP");
ABSL_FLAG(std::string, web, "",
          "serve: folder of the built pages. Default: beside this program, ../web or "
          "../share/backflip/web");
ABSL_FLAG(std::string, public_url, "",
          "serve: what browsers reach this broker by when a proxy with TLS is in front, https://…");
ABSL_FLAG(std::string, worker_authority, "",
          "serve: PEM file with an authority's certificate, which --tls_ca of learners and of this "
          "broker must trust, and its key: it signs certificates of workers that join, which need "
          "none to join. Default: workers that join get none");
ABSL_FLAG(std::string, otlp_endpoint, "",
          "serve: a collector that takes spans by OpenTelemetry's protocol over HTTP, as "
          "http://host:4318: a label's life is a trace. Default: none are sent");
ABSL_FLAG(int, database_connections, 8, "serve: connections to the database");

// of common/rpc/transport.h, for HTTP too
ABSL_DECLARE_FLAG(std::string, tls_certificate);
ABSL_DECLARE_FLAG(std::string, tls_key);

namespace backflip::preference_broker {
namespace {

constexpr char kUsage[] =
    "preference-broker migrate --database_url=URL [--tokens=DIR]\n"
    "  Brings the database to this program's schema, and makes the tokens of all roles. Safe to\n"
    "  repeat, and to run twice at once.\n\n"
    "preference-broker serve --database_url=URL --listen=ADDRESS\n"
    "  Serves runs, clips, questions, labels, snapshots and checkpoints. With --http_listen also\n"
    "  the pages for people and their services as JSON. --tls_certificate and --tls_key are for "
    "both.\n"
    "  Ends on SIGTERM.\n\n"
    "preference-broker inspect --database_url=URL\n"
    "  Prints what it finds of the database, a name and a value a line, for `backflip doctor`.";

const base::FlagRule database_rule(FLAGS_database_url, "a database's URL, postgresql://…",
                                   [](const std::string& url) { return !url.empty(); });
const base::ConfigCheck database_check([]() -> absl::Status {
  return CheckDatabaseUrl(absl::GetFlag(FLAGS_database_url));
});
const base::FlagRule listen_rule(FLAGS_listen, base::kAddressWords, base::IsAddress);
const base::FlagRule http_rule(FLAGS_http_listen, "host:port, or nothing",
                               [](const std::string& address) {
                                 return address.empty() || base::IsHostAndPort(address);
                               });
const base::FlagRule public_rule(FLAGS_public_url, "https://… (or http:// of this machine)",
                                 [](const std::string& url) {
                                   return url.empty() || absl::StartsWith(url, "https://") ||
                                          absl::StartsWith(url, "http://");
                                 });
const base::FlagRule web_rule(FLAGS_web, "a folder with the pages' index.html",
                              [](const std::string& folder) {
                                std::error_code error;
                                return folder.empty() ||
                                       std::filesystem::exists(folder + "/index.html", error);
                              });
const base::FlagRule otlp_rule(FLAGS_otlp_endpoint,
                               "http://… or https://… of a collector, without a password",
                               [](const std::string& url) {
                                 return url.empty() || ((absl::StartsWith(url, "https://") ||
                                                         absl::StartsWith(url, "http://")) &&
                                                        !absl::StrContains(url, '@'));
                               });
const base::FlagRule connections_rule(FLAGS_database_connections, 1, 64);
const base::ConfigCheck authority_check([]() -> absl::Status {
  const std::string file = absl::GetFlag(FLAGS_worker_authority);
  return file.empty() ? absl::OkStatus() : rpc::Authority::Read(file).status();
});
const base::ConfigCheck http_check([]() -> absl::Status {
  const bool of_http =
      !absl::GetFlag(FLAGS_web).empty() || !absl::GetFlag(FLAGS_public_url).empty();
  if (!of_http || !absl::GetFlag(FLAGS_http_listen).empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--web and --public_url say how HTTP is served: give --http_listen too");
});

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
  absl::Status status = base::Retry(StartPolicy(), nullptr, [&]() -> absl::Status {
    RETURN_IF_ERROR(CheckSessions(database));
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

int RunInspect(const std::string& database) {
  const absl::StatusOr<std::string> found = Inspect(database);
  if (!found.ok()) return Fail(found.status());
  std::fputs(found->c_str(), stdout);
  return 0;
}

// Where a build and an installation put the pages; empty where there are none.
std::string FindPages() {
  std::error_code error;
  const std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* place : {"../web", "../share/backflip/web"}) {
    if (std::filesystem::exists(program / place / "index.html", error))
      return (program / place).lexically_normal();
  }
  base::LogWarning(
      "no pages are found, so that only programs are served over HTTP: build them, or name their "
      "folder "
      "with --web",
      {{"looked_beside", program.string()}});
  return "";
}

HttpOptions HttpFlags() {
  HttpOptions http;
  http.listen = absl::GetFlag(FLAGS_http_listen);
  http.web = absl::GetFlag(FLAGS_web);
  http.tls_certificate = absl::GetFlag(FLAGS_tls_certificate);
  http.tls_key = absl::GetFlag(FLAGS_tls_key);
  http.public_url = absl::GetFlag(FLAGS_public_url);
  if (!http.listen.empty() && http.web.empty()) http.web = FindPages();
  return http;
}

int RunServe(const std::string& database) {
  base::ShutdownSignal shutdown;
  BrokerOptions options;
  options.database = database;
  options.listen = absl::GetFlag(FLAGS_listen);
  options.connections = absl::GetFlag(FLAGS_database_connections);
  options.worker_authority = absl::GetFlag(FLAGS_worker_authority);
  options.otlp_endpoint = absl::GetFlag(FLAGS_otlp_endpoint);
  options.http = HttpFlags();
  if (const absl::Status status = rpc::SetTransportByFlags(); !status.ok()) return Fail(status);
  if (const absl::Status status = metrics::ServeByFlag(); !status.ok()) return Fail(status);
  std::unique_ptr<Broker> broker;
  const absl::Status status = base::Retry(
      StartPolicy(), [&] { return shutdown.Requested(); },
      [&] {
        absl::StatusOr<std::unique_ptr<Broker>> started = Broker::Start(options);
        if (started.ok()) broker = *std::move(started);
        return started.status();
      });
  if (!status.ok()) return shutdown.Requested() ? 0 : Fail(status);
  base::LogInfo("serving", {{"address", broker->address()},
                            {"http", broker->http_url()},
                            {"public_url", options.http.public_url}});
  shutdown.Wait();
  base::LogInfo("draining");
  broker->Drain(absl::Seconds(5));
  base::LogInfo("stopped");
  return 0;
}

}  // namespace
}  // namespace backflip::preference_broker

int main(int argc, char** argv) {
  using namespace backflip;
  // a database host that does not answer is an error soon
  setenv("PGCONNECT_TIMEOUT", "5", /*overwrite=*/0);
  const std::vector<absl::string_view> arguments =
      base::InitProgram(argc, argv, "preference-broker", preference_broker::kUsage);
  const std::string database = absl::GetFlag(FLAGS_database_url);
  const absl::string_view verb = arguments.size() == 1 ? arguments[0] : "";
  if (verb == "migrate") return preference_broker::RunMigrate(database);
  if (verb == "serve") return preference_broker::RunServe(database);
  if (verb == "inspect") return preference_broker::RunInspect(database);
  std::fprintf(stderr, "%s\n", preference_broker::kUsage);
  return 2;
}
