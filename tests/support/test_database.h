// A real PostgreSQL for tests.
#ifndef BACKFLIP_TESTS_SUPPORT_TEST_DATABASE_H_
#define BACKFLIP_TESTS_SUPPORT_TEST_DATABASE_H_

#include <memory>
#include <string>

#include "cli/launcher/private_postgres.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::testing {

// The server that this process's tests share, started at the first call, which
// must come from the main thread. Ends the process when there is none to be had.
cli::PrivatePostgres& TestServer();

// URL of a new database on it, empty or with all migrations applied.
std::string EmptyDatabase();
std::string MigratedDatabase();

// One value of a query on a database, as text.
std::string Query(const std::string& url, const std::string& sql);

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_SUPPORT_TEST_DATABASE_H_
