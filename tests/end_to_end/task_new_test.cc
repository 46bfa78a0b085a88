// `backflip task new`, as a process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;

std::string Read(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(TaskNew, StopsAtOnceWhenItIsToldToAndLeavesNothing) {
  char name[] = "/tmp/backflip-test-XXXXXX";
  const std::string folder = mkdtemp(name);
  const auto pid = cli::Spawn({.argv = {cli::ProgramPath("backflip"), "task", "new",
                                        BACKFLIP_MODELS "/many_round.xml", folder + "/task"},
                               .log_file = folder + "/log"});
  ASSERT_TRUE(pid.ok()) << pid.status();
  const absl::Time give_up = absl::Now() + absl::Minutes(1);
  while (!absl::StrContains(Read(folder + "/log"), "trying random actions")) {
    ASSERT_LT(absl::Now(), give_up) << Read(folder + "/log");
    absl::SleepFor(absl::Milliseconds(5));
  }
  kill(*pid, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(*pid, &status, 0), *pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 130) << status;
  EXPECT_FALSE(fs::exists(folder + "/task.draft"));
  EXPECT_FALSE(fs::exists(folder + "/task/preview.gif")) << "it went on to the end";
  fs::remove_all(folder);
}

TEST(TaskNew, NamesTheTasksThatComeWithBackflip) {
  const auto listed = cli::Run({.argv = {cli::ProgramPath("backflip"), "task", "list"}});
  ASSERT_TRUE(listed.ok()) << listed.status();
  for (const auto& task : fs::directory_iterator(BACKFLIP_TASKS)) {
    if (!task.is_directory()) continue;
    EXPECT_THAT(*listed, ::testing::HasSubstr(task.path().filename().string() + " "));
  }
}

}  // namespace
}  // namespace backflip::testing
