#include "cli/launcher/service_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ServiceProcessTest : public ::testing::Test {
 protected:
  ServiceProcessTest() {
    char name[] = "/tmp/backflip-test-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~ServiceProcessTest() override { fs::remove_all(folder_); }

  Process Shell(const std::string& script) const {
    return {.argv = {"/bin/sh", "-c", script}, .log_file = folder_ + "/log"};
  }

  std::string Log() const {
    std::stringstream text;
    text << std::ifstream(folder_ + "/log").rdbuf();
    return text.str();
  }

  // Until the log holds `text`; false after a long while.
  bool LogShows(const std::string& text) const {
    for (int i = 0; i < 2000; ++i) {
      if (Log().find(text) != std::string::npos) return true;
      absl::SleepFor(absl::Milliseconds(10));
    }
    return false;
  }

  std::string folder_;
};

TEST_F(ServiceProcessTest, DrainsBeforeItKills) {
  ServiceProcess process(
      "service",
      Shell("trap 'echo drained; exit 0' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(LogShows("ready"));
  process.Stop(absl::Seconds(20));
  EXPECT_THAT(Log(), HasSubstr("drained"));
  EXPECT_TRUE(process.failure().ok());
}

TEST_F(ServiceProcessTest, KillsWhatDoesNotDrain) {
  ServiceProcess process("service",
                         Shell("trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(LogShows("ready"));
  process.Stop(absl::Milliseconds(50));
  EXPECT_THAT(process.TakeEvents(), testing::IsEmpty());
}

TEST_F(ServiceProcessTest, StartsAgainWhatCrashed) {
  ServiceProcess process("service",
                         Shell(absl::StrCat("if [ -e ", folder_,
                                            "/second ]; then echo again; exec sleep 100; fi; "
                                            "touch ",
                                            folder_, "/second; kill -9 $$")));
  ASSERT_TRUE(LogShows("again"));
  EXPECT_THAT(process.TakeEvents(), testing::ElementsAre(HasSubstr("was killed by signal 9")));
  EXPECT_TRUE(process.failure().ok());
}

TEST_F(ServiceProcessTest, GivesUpOnWhatKeepsCrashing) {
  ServiceProcess process("service", Shell("exit 3"));
  absl::Status failure;
  for (int i = 0; i < 2000 && failure.ok(); ++i) {
    absl::SleepFor(absl::Milliseconds(10));
    failure = process.failure();
  }
  EXPECT_THAT(failure.message(), HasSubstr("ended with code 3"));
  EXPECT_THAT(failure.message(), HasSubstr(folder_ + "/log"));
}

TEST_F(ServiceProcessTest, DiesWithTheLauncherHoweverThatEnds) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t launcher = fork();
  if (launcher == 0) {
    // the service holds the pipe open for as long as it lives
    dup2(pipe_fds[1], STDERR_FILENO);
    close(pipe_fds[0]);
    const Process sleeper{.argv = {"/bin/sh", "-c", "echo ready >&2; exec sleep 100"}};
    ServiceProcess process("service", sleeper);
    pause();
  }
  close(pipe_fds[1]);
  char buffer[64];
  ASSERT_GT(read(pipe_fds[0], buffer, sizeof(buffer)), 0);
  kill(launcher, SIGKILL);
  waitpid(launcher, nullptr, 0);
  // end of file: nobody holds the other end
  EXPECT_EQ(read(pipe_fds[0], buffer, sizeof(buffer)), 0);
  close(pipe_fds[0]);
}

TEST(Run, HandsOnNoVariableThatIsMeantForUs) {
  setenv("BACKFLIP_PUBLIC_URL", "https://labels.example.org", 1);
  const auto seen = cli::Run({.argv = {"env"}, .environment = {"BACKFLIP_LISTEN=unix:/x"}});
  unsetenv("BACKFLIP_PUBLIC_URL");
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->find("BACKFLIP_PUBLIC_URL"), std::string::npos);
  EXPECT_NE(seen->find("BACKFLIP_LISTEN=unix:/x"), std::string::npos);
}

}  // namespace
}  // namespace backflip::cli
