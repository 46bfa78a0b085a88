// `backflip task new`, as a process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "tests/support/await.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;

std::string Read(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The first process whose parent is `parent`; 0: there is none.
pid_t ChildOf(pid_t parent) {
  for (const auto& process : fs::directory_iterator("/proc")) {
    pid_t id = 0;
    if (!absl::SimpleAtoi(process.path().filename().string(), &id)) continue;
    const std::string stat = Read(process.path().string() + "/stat");
    // number, (name), state, parent
    const size_t name_end = stat.rfind(") ");
    if (name_end != stat.npos && std::atoi(&stat[name_end + 4]) == parent) return id;
  }
  return 0;
}

class TaskNew : public ::testing::Test {
 protected:
  TaskNew() {
    char name[] = "/tmp/backflip-test-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~TaskNew() override { fs::remove_all(folder_); }

  // Starts to make a task of a model that takes long, and waits until it tries it, or is further.
  void Begin(const std::string& stage = "trying random actions") {
    const auto pid = cli::Spawn({.argv = {cli::ProgramPath("backflip"), "task", "new",
                                          BACKFLIP_MODELS "/many_round.xml", folder_ + "/task"},
                                 .log_file = folder_ + "/log"});
    ASSERT_TRUE(pid.ok()) << pid.status();
    pid_ = *pid;
    ASSERT_TRUE(Await([&] { return absl::StrContains(Read(folder_ + "/log"), stage); }))
        << Read(folder_ + "/log");
  }
  // Its code.
  int End() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    EXPECT_TRUE(WIFEXITED(status)) << status;
    // the log alone
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
    return WEXITSTATUS(status);
  }

  std::string folder_;
  pid_t pid_ = 0;
};

TEST_F(TaskNew, StopsAtOnceWhenItIsToldToAndLeavesNothing) {
  ASSERT_NO_FATAL_FAILURE(Begin());
  kill(pid_, SIGTERM);
  EXPECT_EQ(End(), 130);
}

TEST_F(TaskNew, LeavesNothingWhenItIsStoppedWhileItDraws) {
  ASSERT_NO_FATAL_FAILURE(Begin("drawing the preview"));
  kill(pid_, SIGINT);
  EXPECT_EQ(End(), 130);
}

TEST_F(TaskNew, SaysThatAModelEndedTheProgramThatTriedIt) {
  ASSERT_NO_FATAL_FAILURE(Begin());
  const pid_t child = ChildOf(pid_);
  ASSERT_GT(child, 0);
  kill(child, SIGSEGV);
  EXPECT_EQ(End(), 1);
  EXPECT_THAT(Read(folder_ + "/log"),
              ::testing::HasSubstr("many_round.xml: the model ends the program that tries it"));
}

TEST_F(TaskNew, NamesItsFolderLikeTheModelOrLikeTheFolderOfAScene) {
  fs::create_directories(folder_ + "/beetle");
  fs::create_directories(folder_ + "/here");
  fs::copy(BACKFLIP_MODELS "/tiny.xml", folder_ + "/beetle/scene.xml");
  const auto make = [&](std::vector<std::string> words) {
    // in the folder `work`
    std::vector<std::string> argv = {"env",  "-C", folder_ + "/here", cli::ProgramPath("backflip"),
                                     "task", "new"};
    argv.insert(argv.end(), words.begin(), words.end());
    return cli::Run({.argv = argv}).status();
  };
  EXPECT_TRUE(make({"../beetle/scene.xml"}).ok());
  EXPECT_TRUE(fs::exists(folder_ + "/here/beetle/task.textproto"));
  EXPECT_THAT(
      make({"../beetle/scene.xml"}).message(),
      ::testing::HasSubstr("name another folder, backflip task new ../beetle/scene.xml FOLDER"));
  EXPECT_TRUE(make({BACKFLIP_MODELS "/tiny.xml"}).ok());
  EXPECT_TRUE(fs::exists(folder_ + "/here/tiny/task.textproto"));
  EXPECT_TRUE(make({BACKFLIP_MODELS "/tiny.xml", "my/own"}).ok());
  EXPECT_TRUE(fs::exists(folder_ + "/here/my/own/preview.gif"));
}

TEST_F(TaskNew, NamesTheTasksThatComeWithBackflip) {
  const auto listed = cli::Run({.argv = {cli::ProgramPath("backflip"), "task", "list"}});
  ASSERT_TRUE(listed.ok()) << listed.status();
  for (const auto& task : fs::directory_iterator(BACKFLIP_TASKS)) {
    if (!task.is_directory()) continue;
    EXPECT_THAT(*listed, ::testing::HasSubstr(task.path().filename().string() + " "));
  }
}

}  // namespace
}  // namespace backflip::testing
