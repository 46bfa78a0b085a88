// Runs that cannot be served are over after a few tries, with the reason, and keep no other from
// being served.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/stack.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

bool Over(const v1::Run& run) { return run.state() == v1::FAILED || run.state() == v1::FINISHED; }

v1::RunSpec ShortRun() {
  v1::RunSpec spec;
  spec.set_labels(8);
  spec.set_steps(2 * 800);
  spec.mutable_collection()->set_environments(4);
  spec.mutable_collection()->set_batch_steps(800);
  spec.mutable_collection()->set_clips_per_batch(8);
  spec.mutable_reward_model()->set_updates_per_label(0.5);
  return spec;
}

class Poison : public ::testing::Test {
 protected:
  void SetUp() override {
    auto stack = Stack::Start();
    ASSERT_TRUE(stack.ok()) << stack.status();
    stack_ = *std::move(stack);
    const absl::Status serving = stack_->StartServing();
    ASSERT_TRUE(serving.ok()) << serving;
    char folder[] = "/tmp/backflip-poison-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  void TearDown() override { fs::remove_all(folder_); }

  // A run of an arm whose elbow turns beside a stone that falls through the floor, with `more` in
  // its world and a true reward.
  v1::Run Create(const std::string& more, const std::string& true_reward) {
    std::ofstream(folder_ + "/model.xml")
        << "<mujoco><size memory=\"60K\"/><worldbody><geom type=\"plane\" size=\"5 5 1\"/>"
           "<body name=\"arm\" pos=\"2 0 1\"><joint name=\"j\"/><geom size=\".1\"/></body>"
           "<body name=\"stone\" pos=\"4 0 1\"><freejoint/>"
           "<geom size=\".1\" contype=\"0\" conaffinity=\"0\"/></body>"
        << more << "</worldbody><actuator><motor joint=\"j\"/></actuator></mujoco>";
    std::ofstream(folder_ + "/task.textproto")
        << "name: \"arm\" model: \"model.xml\" frame_skip: 4 episode_steps: 400 action_size: 1 "
           "observation { qpos { to: 1 } } clip { steps: 20 } question: \"Which?\" "
           "quantity { name: \"height\" body { name: \"arm\" field: Z } } "
           "quantity { name: \"fall\" body { name: \"stone\" field: Z } } true_reward: \""
        << true_reward << "\"";
    const auto run = stack_->Create(folder_, ShortRun());
    EXPECT_TRUE(run.ok()) << run.status();
    return *run;
  }
  void ExpectFailure(const v1::Run& run, const ::testing::Matcher<std::string>& message) {
    const auto end = stack_->Await(run.id(), Over);
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_EQ(end->state(), v1::FAILED);
    EXPECT_THAT(end->message(), message);
  }
  // Its workers and its learner are there for others.
  void ExpectOthersAreServed() {
    const auto run = stack_->Create("hopper_backflip", ShortRun());
    ASSERT_TRUE(run.ok()) << run.status();
    const auto end = stack_->Await(run->id(), Over);
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_EQ(end->state(), v1::FINISHED) << end->message();
  }

  std::unique_ptr<Stack> stack_;
  std::string folder_;
};

TEST_F(Poison, ARewardThatIsNoNumberFailsTheRunThatHasIt) {
  ExpectFailure(
      Create("", "sqrt(0.99 - height)"),
      AllOf(HasSubstr("no worker can serve this run"),
            HasSubstr("true_reward, sqrt(0.99 - height), is"), HasSubstr("nan after step 1")));
  ExpectOthersAreServed();
}

TEST_F(Poison, ARewardThatBecomesNoNumberLaterFailsTheRunThatHasIt) {
  // the stone has fallen 8 m after 160 steps: later than a task is tried, sooner than a ticket ends
  ExpectFailure(Create("", "sqrt(fall + 7)"),
                AllOf(HasSubstr("true_reward, sqrt(fall + 7), is"), HasSubstr("nan after step"),
                      HasSubstr("tried 3 times")));
  ExpectOthersAreServed();
}

TEST_F(Poison, ASimulationThatRunsOutOfMemoryFailsTheRunThatHasIt) {
  std::string boxes;
  for (int i = 0; i < 50; ++i) {
    absl::StrAppend(&boxes, "<body pos=\"", i % 5 * 0.05, " ", i / 5 % 5 * 0.05, " ", 1 + i * 0.12,
                    "\"><freejoint/><geom type=\"box\" size=\".1 .1 .1\"/></body>");
  }
  ExpectFailure(Create(boxes, "height"), HasSubstr("<size memory="));
  ExpectOthersAreServed();
}

TEST_F(Poison, PhysicsThatDivergesBeforeAClipIsLongEnoughFailsTheRunThatHasIt) {
  ExpectFailure(Create("<body pos=\"0 0 3\"><joint stiffness=\"1e12\" springref=\"1\"/>"
                       "<geom size=\".1\"/></body>",
                       "height"),
                HasSubstr("clip"));
  ExpectOthersAreServed();
}

TEST_F(Poison, ABundleThatIsDamagedFailsTheRunThatHasIt) {
  ExpectOthersAreServed();  // the worker runs
  ASSERT_TRUE(stack_->Drain(Program::kWorker).ok());
  const v1::Run run = Create("", "height");
  stack_->Sql("UPDATE bundle_chunks SET data = set_byte(data, 5, 255 - get_byte(data, 5))");
  ASSERT_TRUE(stack_->StartProgram(Program::kWorker).ok());
  ExpectFailure(run, AllOf(HasSubstr("no worker can serve this run"), HasSubstr("is damaged")));
  ExpectOthersAreServed();
}

}  // namespace
}  // namespace backflip::testing
