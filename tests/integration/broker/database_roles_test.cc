// What the roles of a database that has them may do (docs/security.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "services/preference_broker/store/db/migrate.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/await.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

// Whether PostgreSQL lets the role do it.
bool May(const std::string& url, const std::string& sql) {
  try {
    Query(url, sql);
  } catch (const pqxx::insufficient_privilege&) {
    return false;
  }
  return true;
}

TEST(DatabaseRoles, TheBrokerServesAllCallsButCannotTakeBackWhatIsWritten) {
  for (const char* role : {"backflip_app", "backflip_read"}) {
    Query(TestServer().url(), absl::StrCat("CREATE ROLE ", role, " LOGIN"));
  }
  const std::string owner = MigratedDatabase();
  preference_broker::Connection connection(owner, "test", nullptr);
  // again, since the roles came after the tables
  ASSERT_TRUE(preference_broker::Migrate(connection).ok());
  const std::string nobody = owner.substr(0, owner.find("&user="));
  const std::string app = absl::StrCat(nobody, "&user=backflip_app");
  const std::string read = absl::StrCat(nobody, "&user=backflip_read");

  preference_broker::BrokerOptions options;
  options.database = app;
  TestBroker broker(options);
  const v1::Run run = broker.CreateRun("labels: 10");
  (void)broker.Claim(Role::kLearner);
  const int64_t epoch = broker.Claim(Role::kTrainer).epoch();
  ASSERT_TRUE(broker.Open(run.id(), epoch, 0, broker.Upload(run.id(), 0, 2)).ok());
  const Peer& teacher = broker.As(Role::kTeacher);
  v1::LeaseRequest lease;
  lease.set_count(1);
  lease.set_run_id(run.id());
  const auto leased = teacher.Call(teacher.labeling, &v1::LabelingService::Stub::Lease, lease);
  ASSERT_TRUE(leased.ok() && leased->questions_size() == 1) << leased.status();
  ASSERT_TRUE(Submit(teacher, AnswerTo(leased->questions(0).lease_id(), v1::LEFT)).ok());
  // numbering it is the one change that a label sees; the housekeeper repeats what was missed
  EXPECT_TRUE(Await([&] {
    return Query(owner, "SELECT count(*) FROM labels WHERE position IS NOT NULL") == "1";
  }));

  for (const char* sql :
       {"DELETE FROM labels", "UPDATE labels SET choice = 'RIGHT'", "TRUNCATE labels CASCADE",
        "DELETE FROM audit", "UPDATE audit SET at = now()", "TRUNCATE audit",
        "ALTER TABLE labels DISABLE TRIGGER ALL", "DROP TABLE audit", "CREATE TABLE mine ()",
        "COPY callers TO PROGRAM 'true'", "DELETE FROM schema_migrations"}) {
    EXPECT_FALSE(May(app, sql)) << sql;
  }
  EXPECT_TRUE(May(read, "SELECT count(*) FROM labels"));
  EXPECT_TRUE(May(read, "SELECT count(*) FROM wanted_work"));
  for (const char* sql : {"SELECT 1 FROM tokens", "SELECT 1 FROM invites", "DELETE FROM runs",
                          "DELETE FROM callers", "INSERT INTO bundles DEFAULT VALUES"}) {
    EXPECT_FALSE(May(read, sql)) << sql;
  }
}

// As the database of the compose stack and of a cluster is made: superusers have no part in it.
TEST(DatabaseRoles, AnOwnerWhoIsNoSuperuserMigratesAndDeletes) {
  const std::string superuser = TestServer().url();
  Query(superuser, "CREATE ROLE plain_owner LOGIN");
  Query(superuser, "CREATE DATABASE plain OWNER plain_owner");
  std::string owner = absl::StrReplaceAll(superuser, {{"/backflip?", "/plain?"}});
  owner = absl::StrCat(owner.substr(0, owner.find("&user=")), "&user=plain_owner");
  preference_broker::Connection connection(owner, "test", nullptr);
  const absl::StatusOr<int> applied = preference_broker::Migrate(connection);
  ASSERT_TRUE(applied.ok()) << applied.status();
  // what a superuser had made with the eighth migration's first form stays in use
  Query(owner,
        "UPDATE schema_migrations SET sha256 = decode("
        "'364019cff68f926ae72388052439a5fb8c0902a3eea1fd017ee2eb45691456b9', 'hex') "
        "WHERE version = 8");
  EXPECT_TRUE(preference_broker::Migrate(connection).ok());

  preference_broker::BrokerOptions options;
  options.database = owner;
  TestBroker broker(options);
  const v1::Run run = broker.CreateRun("labels: 10");
  // what follows in the same transaction deletes nothing
  EXPECT_THROW(Query(owner, "SELECT delete_audit('-infinity'); DELETE FROM audit"),
               pqxx::sql_error);
  Query(owner, absl::StrCat("SELECT delete_run(", run.id(), "), delete_audit('infinity')"));
  EXPECT_EQ(Query(owner, "SELECT count(*) FROM runs"), "0");
  EXPECT_EQ(Query(owner, "SELECT count(*) FROM audit"), "0");
}

}  // namespace
}  // namespace backflip::testing
