#include "cli/commands/train.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/launcher/paths.h"
#include "cli/output/replay.h"
#include "common/options/run_spec.h"

namespace backflip::cli {
namespace {

using ::testing::HasSubstr;

TEST(TrainOptions, AreLaidOverFileTaskAndDefaults) {
  v1::Task task;
  task.mutable_defaults()->set_labels(500);
  task.mutable_defaults()->set_steps(1'000'000);
  task.mutable_defaults()->mutable_collection()->set_environments(32);
  const std::string file = "/tmp/backflip-test-" + std::to_string(getpid()) + ".textproto";
  std::ofstream(file) << "labels: 400 seed: 4 ppo { epochs: 3 }";

  TrainOptions options;
  options.spec = file;
  options.labels = "300";
  const auto spec = ResolveSpec(options, task);
  std::filesystem::remove(file);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->labels(), 300);
  EXPECT_EQ(spec->seed(), 4);
  EXPECT_EQ(spec->steps(), 1'000'000);
  EXPECT_EQ(spec->ppo().epochs(), 3);
  EXPECT_EQ(spec->collection().environments(), 32);
  EXPECT_TRUE(spec->lockstep());
}

TEST(TrainOptions, LetPeopleTakeTheirTime) {
  TrainOptions options;
  options.teacher = kNoTeacher;
  const auto spec = ResolveSpec(options, v1::Task());
  ASSERT_TRUE(spec.ok());
  EXPECT_FALSE(spec->lockstep());
}

TEST(TrainOptions, CheckPeopleAndLearnNoFurtherThanTheirAnswersAllow) {
  TrainOptions options;
  options.human = true;
  options.teacher = kNoTeacher;
  options.labels = "100";
  options.steps = "1000000";
  auto spec = ResolveSpec(options, v1::Task());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_FALSE(spec->lockstep());
  EXPECT_EQ(spec->steps_per_label(), 10'000);
  EXPECT_EQ(spec->warm_up_labels(), 100);
  EXPECT_EQ(spec->queries().overlap(), 1);
  EXPECT_EQ(spec->queries().first_labels(), 30);
  EXPECT_DOUBLE_EQ(spec->quality().repeat_share(), 0.04);
  EXPECT_DOUBLE_EQ(spec->quality().gold_share(), 0.05);
  EXPECT_TRUE(spec->quality().must_play_once());
  // batches are half as long, so that an answer waits less, and learned from twice
  const auto teachers = ResolveSpec(TrainOptions(), v1::Task());
  ASSERT_TRUE(teachers.ok());
  EXPECT_EQ(spec->collection().batch_steps() * 2, teachers->collection().batch_steps());
  EXPECT_EQ(spec->collection().clips_per_batch() * 2, teachers->collection().clips_per_batch());
  EXPECT_EQ(spec->ppo().reused_batches(), 1);
  EXPECT_EQ(spec->ppo().epochs() * 2, teachers->ppo().epochs());

  // beside a teacher, people are checked as without one
  options.teacher = "oracle";
  spec = ResolveSpec(options, v1::Task());
  ASSERT_TRUE(spec.ok());
  EXPECT_FALSE(spec->lockstep());

  // and nothing of it where nobody but teachers answers
  options.human = false;
  spec = ResolveSpec(options, v1::Task());
  ASSERT_TRUE(spec.ok());
  EXPECT_TRUE(spec->lockstep());
  EXPECT_EQ(spec->quality().repeat_share(), 0);
  EXPECT_EQ(spec->queries().progress_share(), 0);
}

TEST(TrainOptions, NameTheFieldThatIsOutOfRange) {
  TrainOptions options;
  options.labels = "5000000";
  const auto spec = ResolveSpec(options, v1::Task());
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(spec.status().message(), HasSubstr("labels is 5000000"));
}

TEST(ParseCount, TakesAPlusOnlyToGoOn) {
  EXPECT_EQ(ParseCount("labels", "+300", true).value(), 300);
  EXPECT_EQ(ParseCount("labels", "300", false).value(), 300);
  EXPECT_THAT(ParseCount("labels", "300", true).status().message(), HasSubstr("--labels +300"));
  EXPECT_THAT(ParseCount("labels", "+300", false).status().message(), HasSubstr("--continue"));
  EXPECT_FALSE(ParseCount("steps", "many", false).ok());
  EXPECT_FALSE(ParseCount("steps", "-5", false).ok());
}

TrainOptions With(const std::string& teacher) {
  TrainOptions options;
  options.teacher = teacher;
  return options;
}

v1::TaskInfo TaskWithATrueReward() {
  v1::TaskInfo task;
  task.set_has_true_reward(true);
  return task;
}

TEST(CheckLabelers, RefusesTeachersWithoutATrueRewardAndNamesTheWay) {
  const v1::RunSpec spec = options::DefaultRunSpec();
  v1::TaskInfo task;
  task.set_name("robot");
  const absl::Status refused = CheckLabelers(With("oracle"), spec, task);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("--human"));
  EXPECT_THAT(refused.message(), HasSubstr("true_reward"));
  EXPECT_TRUE(CheckLabelers(With(kNoTeacher), spec, task).ok());
  EXPECT_TRUE(CheckLabelers(With("oracle"), spec, TaskWithATrueReward()).ok());
}

TEST(CheckLabelers, RefusesMoreAnswersToAQuestionThanThereAreTeachers) {
  const v1::TaskInfo task = TaskWithATrueReward();
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.mutable_queries()->set_overlap(3);
  spec.mutable_queries()->set_overlap_share(0.5);
  TrainOptions options = With("oracle,oracle");
  EXPECT_THAT(CheckLabelers(options, spec, task).message(),
              HasSubstr("queries.overlap is 3, and 2 teachers answer"));
  options.human = true;
  EXPECT_TRUE(CheckLabelers(options, spec, task).ok()) << "people may come";
  options.human = false;
  options.stack.broker = "there:1";
  EXPECT_TRUE(CheckLabelers(options, spec, task).ok()) << "others may answer there";
  EXPECT_TRUE(CheckLabelers(With("oracle,oracle,oracle"), spec, task).ok());
  EXPECT_TRUE(CheckLabelers(With(kNoTeacher), spec, task).ok());
  spec.mutable_queries()->set_overlap_share(0);
  EXPECT_TRUE(CheckLabelers(With("oracle"), spec, task).ok()) << "no question wants more than one";
}

TEST(CheckLabelers, ListsTheTeachersThatThereAre) {
  const v1::TaskInfo task = TaskWithATrueReward();
  EXPECT_THAT(CheckLabelers(With("wizard"), v1::RunSpec(), task).message(), HasSubstr("myopic"));
  EXPECT_THAT(CheckLabelers(With("oracle,wizard"), v1::RunSpec(), task).message(),
              HasSubstr("--teacher is 'wizard'"));
}

TEST(FindTask, ListsTheTasksThatThereAre) {
  EXPECT_THAT(FindTask("nonesuch").status().message(), HasSubstr("there is no task 'nonesuch'"));
}

TEST(SocketFolder, IsShortAndTheSameForTheSameData) {
  const std::string address = BrokerAddress("/a/very/long/path/" + std::string(200, 'x'));
  EXPECT_LT(address.size(), 100);
  EXPECT_EQ(BrokerAddress("/tmp/data"), BrokerAddress("/tmp/./data"));
  EXPECT_NE(BrokerAddress("/tmp/data"), BrokerAddress("/tmp/other"));
}

constexpr char kModel[] = R"(
<mujoco>
  <worldbody>
    <body name="ball" pos="0 0 1"><freejoint/><geom size="0.1"/>
      <body><joint name="hinge" type="hinge"/><geom size="0.1" pos="0.3 0 0"/></body>
    </body>
  </worldbody>
  <actuator><motor joint="hinge"/></actuator>
</mujoco>)";

TEST(MakeTask, LoadsAndShowsTheModelMoving) {
  char name[] = "/tmp/backflip-test-XXXXXX";
  const std::string folder = mkdtemp(name);
  std::ofstream(folder + "/robot.xml") << kModel;
  const std::string task = folder + "/robot";
  std::vector<std::string> told;
  const auto draft = sim::Draft::Beside(task);
  ASSERT_TRUE(draft.ok()) << draft.status();
  const auto made = MakeTask(folder + "/robot.xml", task, **draft,
                             [&](absl::string_view what) { told.emplace_back(what); });
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(told.back(), "drawing the preview");
  // drawing needs OpenGL; the task stands without it
  if (!made->preview.ok()) {
    EXPECT_EQ(made->preview.code(), absl::StatusCode::kUnavailable) << made->preview;
  } else {
    EXPECT_TRUE(std::filesystem::exists(task + "/preview.gif"));
  }
  EXPECT_TRUE(sim::Task::FromFolder(task).ok());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace backflip::cli
