#include "cli/launcher/private_postgres.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "cli/launcher/subprocess.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A data folder that any user can enter, removed at the end.
class PrivatePostgresTest : public ::testing::Test {
 protected:
  PrivatePostgresTest() {
    char name[] = "/tmp/backflip-test-XXXXXX";
    root_ = mkdtemp(name);
    chmod(root_.c_str(), 0755);
    folder_ = root_ + "/a data folder";
  }
  ~PrivatePostgresTest() override { fs::remove_all(root_); }

  static std::string Ask(const PrivatePostgres& postgres, const std::string& question) {
    absl::StatusOr<std::string> answer =
        cli::Run({.argv = {"psql", "-XAtqc", question, postgres.url()}});
    return answer.ok() ? *answer : std::string(answer.status().message());
  }

  std::string root_;
  std::string folder_;
};

TEST_F(PrivatePostgresTest, ServesADatabaseThatKeepsWhatWasCommitted) {
  auto postgres = PrivatePostgres::Start(folder_);
  ASSERT_TRUE(postgres.ok()) << postgres.status();
  EXPECT_EQ(Ask(**postgres, "SELECT current_database()"), "backflip\n");
  EXPECT_EQ(Ask(**postgres, "SHOW fsync"), "on\n");
  EXPECT_EQ(Ask(**postgres, "SHOW synchronous_commit"), "on\n");
  EXPECT_EQ(Ask(**postgres, "SHOW listen_addresses"), "\n");
  EXPECT_EQ(Ask(**postgres, "CREATE TABLE kept AS SELECT 7 AS n"), "");
  const std::string url = (*postgres)->url();
  ASSERT_TRUE((*postgres)->Stop().ok());
  postgres->reset();

  postgres = PrivatePostgres::Start(folder_);
  ASSERT_TRUE(postgres.ok()) << postgres.status();
  EXPECT_EQ((*postgres)->url(), url);
  EXPECT_EQ(Ask(**postgres, "SELECT n FROM kept"), "7\n");
}

TEST_F(PrivatePostgresTest, LeavesNothingRunningAndNoSocketBehind) {
  auto postgres = PrivatePostgres::Start(folder_);
  ASSERT_TRUE(postgres.ok()) << postgres.status();
  const pid_t pid = (*postgres)->pid();
  const std::string url = (*postgres)->url();
  const size_t begin = url.find("host=") + 5;
  const std::string socket = url.substr(begin, url.find('&') - begin);
  EXPECT_TRUE(fs::exists(socket));
  EXPECT_EQ(kill(pid, 0), 0);
  postgres->reset();
  EXPECT_NE(kill(pid, 0), 0);
  EXPECT_FALSE(fs::exists(socket));
}

TEST_F(PrivatePostgresTest, RefusesASecondHolderOfTheFolder) {
  auto postgres = PrivatePostgres::Start(folder_);
  ASSERT_TRUE(postgres.ok()) << postgres.status();
  auto second = PrivatePostgres::Start(folder_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(second.status().message(), HasSubstr("another backflip runs"));
  EXPECT_EQ(Ask(**postgres, "SELECT 1"), "1\n");
}

TEST_F(PrivatePostgresTest, AdoptsTheServerOfAKilledHolder) {
  // a holder that is killed: nothing of it is cleaned up
  const pid_t holder = fork();
  if (holder == 0) {
    auto postgres = PrivatePostgres::Start(folder_);
    if (!postgres.ok()) _exit(1);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(holder, &status, 0), holder);
  ASSERT_TRUE(WIFSIGNALED(status));
  std::ifstream file(folder_ + "/postgres/postmaster.pid");
  pid_t left_running = 0;
  ASSERT_TRUE(file >> left_running);

  auto postgres = PrivatePostgres::Start(folder_);
  ASSERT_TRUE(postgres.ok()) << postgres.status();
  EXPECT_EQ((*postgres)->pid(), left_running);
  EXPECT_EQ(Ask(**postgres, "SELECT 1"), "1\n");
}

TEST_F(PrivatePostgresTest, StartsAgainAfterTheServerWasKilled) {
  auto postgres = PrivatePostgres::Start(folder_);
  ASSERT_TRUE(postgres.ok()) << postgres.status();
  EXPECT_EQ(Ask(**postgres, "CREATE TABLE kept AS SELECT 7 AS n"), "");
  ASSERT_EQ(kill((*postgres)->pid(), SIGKILL), 0);
  const absl::Status restarted = (*postgres)->Restart();
  ASSERT_TRUE(restarted.ok()) << restarted;
  EXPECT_EQ(Ask(**postgres, "SELECT n FROM kept"), "7\n");
}

TEST_F(PrivatePostgresTest, RefusesDataOfAnotherMajorVersionWithTheWayOut) {
  fs::create_directories(folder_ + "/postgres");
  std::ofstream(folder_ + "/postgres/PG_VERSION") << "9\n";
  auto postgres = PrivatePostgres::Start(folder_);
  EXPECT_EQ(postgres.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(postgres.status().message(), HasSubstr("postgresql-9"));
  EXPECT_THAT(postgres.status().message(), HasSubstr("pg_upgrade"));
}

TEST_F(PrivatePostgresTest, NamesTheWayWhenItsUserCannotEnterTheFolder) {
  if (geteuid() != 0) GTEST_SKIP() << "only root runs it as somebody else";
  chmod(root_.c_str(), 0700);
  auto postgres = PrivatePostgres::Start(folder_);
  EXPECT_EQ(postgres.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(postgres.status().message(), HasSubstr("/var/lib/backflip"));
  EXPECT_FALSE(fs::exists(folder_ + "/postgres"));
}

TEST(TemporaryPostgres, IsRemovedWithItsFolder) {
  auto postgres = PrivatePostgres::StartTemporary();
  ASSERT_TRUE(postgres.ok()) << postgres.status();
  const pid_t pid = (*postgres)->pid();
  postgres->reset();
  EXPECT_NE(kill(pid, 0), 0);
}

}  // namespace
}  // namespace backflip::cli
