#include "tests/support/test_database.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "services/preference_broker/store/db/migrate.h"

namespace backflip::testing {
namespace {

[[noreturn]] void Die(const absl::Status& status) {
  std::fprintf(stderr, "no test database: %s\n", status.ToString().c_str());
  std::abort();
}

std::string Make(const std::string& source) {
  static int count = 0;
  const std::string name = absl::StrCat("test", ++count);
  Query(TestServer().url(), absl::StrCat("CREATE DATABASE ", name, source));
  return absl::StrReplaceAll(TestServer().url(), {{"/backflip?", absl::StrCat("/", name, "?")}});
}

}  // namespace

cli::PrivatePostgres& TestServer() {
  static const std::unique_ptr<cli::PrivatePostgres> server = [] {
    auto started = cli::PrivatePostgres::StartTemporary();
    if (!started.ok()) Die(started.status());
    return *std::move(started);
  }();
  return *server;
}

std::string EmptyDatabase() { return Make(""); }

std::string MigratedDatabase() {
  static const bool migrated = [] {
    preference_broker::Connection connection(TestServer().url(), "test", nullptr);
    const auto applied = preference_broker::Migrate(connection);
    if (!applied.ok()) Die(applied.status());
    return true;
  }();
  (void)migrated;
  return Make(" TEMPLATE backflip");
}

std::string Query(const std::string& url, const std::string& sql) {
  pqxx::connection connection(url);
  const pqxx::result rows = pqxx::nontransaction(connection).exec(sql);
  return rows.empty() || rows.columns() == 0 ? "" : std::string(rows[0][0].c_str());
}

}  // namespace backflip::testing
