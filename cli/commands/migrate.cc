// backflip migrate.
#include <cstdio>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/launcher/local_stack.h"
#include "cli/launcher/private_postgres.h"
#include "cli/session.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

absl::Status MigrateDatabase(const Call& call) {
  const std::string data = DataFolder(call.stack);
  std::string url = call.stack.database;
  std::unique_ptr<PrivatePostgres> postgres;
  if (url.empty()) {
    ASSIGN_OR_RETURN(postgres, PrivatePostgres::Start(data));
    url = postgres->url();
  }
  ASSIGN_OR_RETURN(const std::string output, Migrate(url, data));
  std::fputs(output.c_str(), stderr);
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kSetUp,
     "migrate",
     "bring the database to this version",
     MigrateDatabase,
     {},
     "Commands that start a stack on this machine do it by themselves."},
};

}  // namespace
}  // namespace backflip::cli
