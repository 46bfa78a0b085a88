// What a stack that root starts runs as, and what it shows of itself to others on the machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/launcher/subprocess.h"
#include "tests/end_to_end/launcher.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;

// The processes that log into this folder, by the names of their logs.
std::map<std::string, fs::path> ProcessesOf(const std::string& logs) {
  std::map<std::string, fs::path> found;
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc")) {
    const fs::path out = fs::read_symlink(process.path() / "fd/1", ignored);
    if (out.parent_path() == logs) found[out.stem()] = process.path();
  }
  return found;
}

std::string Contents(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

TEST(ServiceUser, RunsEveryServiceOfAStackThatRootStarts) {
  const auto user = cli::ServiceUser();
  if (!user.has_value()) {
    GTEST_SKIP() << "only root, where deploy/install-dependencies has made the user backflip, runs "
                    "services as somebody else";
  }
  auto made = Launcher::Make();
  ASSERT_TRUE(made.ok()) << made.status();
  Launcher& launcher = **made;
  fs::permissions(launcher.folder(), fs::perms(0755));
  ASSERT_TRUE(launcher.Start({"train", "--human", "--task=hopper"}).ok());
  ASSERT_TRUE(launcher.Prints("#invite=")) << launcher.Printed();
  const std::string data = (launcher.folder() / "data").string();
  const auto processes = ProcessesOf(data + "/logs");
  for (const char* name :
       {"preference-broker", "policy-learner", "reward-trainer", "rollout-worker"})
    EXPECT_EQ(processes.count(name), 1u) << name;
  for (const auto& [name, process] : processes) {
    EXPECT_TRUE(absl::StrContains(
        Contents(process / "status"),
        absl::StrCat("Uid:\t", user->uid, "\t", user->uid, "\t", user->uid, "\t", user->uid)))
        << name;
    EXPECT_FALSE(absl::StrContains(Contents(process / "cmdline"), "postgresql:"))
        << name << " shows everybody the database's URL";
  }
  struct stat info = {};
  ASSERT_EQ(stat((data + "/tokens/operator.token").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0u);
  EXPECT_EQ(info.st_mode & 0077, 0u);
  auto person = Person::Accept(launcher.Link());
  ASSERT_TRUE(person.ok()) << person.status();
  EXPECT_TRUE(person->Answer(1).ok()) << launcher.Printed();
  launcher.Interrupt();
  EXPECT_EQ(launcher.Wait(), 130) << launcher.Printed();
}

}  // namespace
}  // namespace backflip::testing
