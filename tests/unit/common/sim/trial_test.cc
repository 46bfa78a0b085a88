#include "common/sim/trial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class Trial : public testing::Test {
 protected:
  Trial() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = absl::StrCat(testing::TempDir(), "/trial_", info->name());
    fs::remove_all(folder_);
    fs::copy(BACKFLIP_TASKS "/hopper_backflip", folder_);
  }
  ~Trial() override { fs::remove_all(folder_); }

  // Replaces `from` in one of the task's files.
  void Change(const std::string& file, const std::string& from, const std::string& to) {
    const std::string path = absl::StrCat(folder_, "/", file);
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    ASSERT_THAT(text, HasSubstr(from));
    std::ofstream(path, std::ios::binary) << absl::StrReplaceAll(text, {{from, to}});
  }
  std::string Error() { return std::string(TryTaskFolder(folder_).message()); }

  std::string folder_;
};

TEST_F(Trial, PassesWhatCanBeSimulated) {
  EXPECT_TRUE(TryTaskFolder(folder_).ok()) << TryTaskFolder(folder_);
  const auto task = Task::FromFolder(folder_);
  EXPECT_TRUE(TryTaskBundle((*task)->bundle().bytes).ok());
}

TEST_F(Trial, SaysWhichExpressionIsNoNumber) {
  Change("task.textproto", "frame_skip: 4",
         "metric { name: \"wrong\" sum: \"sqrt(z - 100)\" } frame_skip: 4");
  EXPECT_THAT(Error(), AllOf(HasSubstr("metric \"wrong\""), HasSubstr("nan after step 1")));
}

TEST_F(Trial, GivesTheErrorsOfTheTaskFileAsTheyAre) {
  Change("task.textproto", "frame_skip: 4", "frame_skip: -4");
  const absl::Status status = TryTaskFolder(folder_);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status, Task::FromFolder(folder_).status());
}

TEST_F(Trial, RefusesPhysicsThatNeverLastsAClip) {
  const auto arm = [&](const std::string& timestep, const std::string& range) {
    std::ofstream(folder_ + "/model.xml")
        << "<mujoco><option timestep='" << timestep
        << "'/><worldbody><body><joint name='j' axis='0 1 0' damping='0.1'/><geom type='capsule' "
           "fromto='0 0 0 0 0 -.4' size='.05'/></body></worldbody><actuator><position joint='j' "
           "kp='1e7' kv='0' ctrlrange='"
        << range << "'/></actuator></mujoco>";
    std::ofstream(folder_ + "/task.textproto")
        << "name: \"arm\" model: \"model.xml\" frame_skip: 1 episode_steps: 400 action_size: 1 "
           "observation { qpos {} qvel {} } clip { steps: 125 } question: \"Which?\"";
    return Error();
  };
  EXPECT_THAT(arm("0.05", "-3 3"), AllOf(HasSubstr("no episode lasted a clip's 125 steps"),
                                         HasSubstr("diverges after about ")));
  EXPECT_EQ(arm("0.0001", "-0.1 0.1"), "");
}

TEST_F(Trial, NamesTheMemoryThatTheModelLacks) {
  std::string boxes =
      "<mujoco><size memory=\"60K\"/><worldbody><geom type=\"plane\" size=\"5 5 1\"/>"
      "<body name=\"arm\" pos=\"2 0 1\"><joint name=\"j\"/><geom size=\".1\"/></body>";
  for (int i = 0; i < 50; ++i) {
    absl::StrAppend(&boxes, "<body pos=\"", i % 5 * 0.05, " ", i / 5 % 5 * 0.05, " ", 1 + i * 0.12,
                    "\"><freejoint/><geom type=\"box\" size=\".1 .1 .1\"/></body>");
  }
  absl::StrAppend(&boxes, "</worldbody><actuator><motor joint=\"j\"/></actuator></mujoco>");
  std::ofstream(folder_ + "/model.xml") << boxes;
  std::ofstream(folder_ + "/task.textproto")
      << "name: \"boxes\" model: \"model.xml\" frame_skip: 4 episode_steps: 400 action_size: 1 "
         "observation { qpos { to: 1 } } clip { steps: 20 } question: \"Which?\"";
  EXPECT_THAT(Error(),
              AllOf(HasSubstr("out of memory"), HasSubstr("<size memory="), HasSubstr("at step ")));
}

TEST_F(Trial, OutlivesAModelThatWantsMoreMemoryThanATaskMayHave) {
  Change("model.xml", "<worldbody>", "<size memory=\"64G\"/>\n<worldbody>");
  const absl::Status status = TryTaskFolder(folder_);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("memory"));
}

}  // namespace
}  // namespace backflip::sim
