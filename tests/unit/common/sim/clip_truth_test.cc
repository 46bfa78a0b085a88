// What teachers know of a clip is what the clip shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/sim/clip.h"
#include "common/sim/mujoco/mujoco_task.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;
using experience::Clip;
using testing::ElementsAre;
using testing::FloatNear;

std::vector<std::string> ShippedTasks() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(BACKFLIP_TASKS)) {
    if (entry.is_directory()) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::shared_ptr<const Task> Load(const std::string& name) {
  auto task = Task::FromFolder(std::string(BACKFLIP_TASKS "/") + name);
  EXPECT_TRUE(task.ok()) << task.status();
  return *task;
}

// As much of an episode with random actions as `steps`, from a state or a fresh start.
Rollout Play(const std::shared_ptr<const Task>& task, int steps,
             std::optional<EnvironmentState> from = std::nullopt) {
  Ticket ticket;
  ticket.steps = steps;
  ticket.episode_steps = 100000;
  ticket.environments.push_back({17, std::move(from)});
  auto rollout = (*Simulator::Start(task, 1))->Run(std::move(ticket));
  EXPECT_TRUE(rollout.ok()) << rollout.status();
  return *std::move(rollout);
}

// The same state of the physics after another past: another time, and every number of the
// task's memory another.
EnvironmentState AfterAnotherPast(const Task& task, EnvironmentState state) {
  const mjModel* model = (*MujocoTask::Of(task))->model();
  const DataPtr data(mj_makeData(model));
  mj_setState(model, data.get(), state.physics.data(), mjSTATE_INTEGRATION);
  data->time += 3;
  for (int i = 0; i < model->nuserdata; ++i) data->userdata[i] = 1 - data->userdata[i];
  mj_getState(model, data.get(), state.physics.data(), mjSTATE_INTEGRATION);
  return state;
}

class EveryTask : public testing::TestWithParam<std::string> {};

TEST_P(EveryTask, AnswersAlikeAboutClipsThatLookAlike) {
  const auto task = Load(GetParam());
  const int steps = task->task().clip().steps();
  // random actions have thrown it over by then
  const EnvironmentState now = Play(task, 80).ends[0];
  const Rollout one = Play(task, 3 * steps + 1, now);
  const Rollout other = Play(task, 3 * steps + 1, AfterAnotherPast(*task, now));
  const auto clips = CutClips(*task, one, 3, 5), others = CutClips(*task, other, 3, 5);
  ASSERT_TRUE(clips.ok() && others.ok()) << clips.status() << others.status();
  ASSERT_EQ(clips->size(), 3u);
  for (int i = 0; i < 3; ++i) {
    const Clip &a = (*clips)[i], &b = (*others)[i];
    ASSERT_EQ(a.poses, b.poses);
    ASSERT_EQ(a.actions, b.actions);
    EXPECT_EQ(a.true_rewards, b.true_rewards) << "clip " << i;
    EXPECT_EQ(a.rubric, b.rubric) << "clip " << i;
    EXPECT_EQ(a.true_rewards.size(), task->has_true_reward() ? steps : 0u);
    EXPECT_EQ(a.rubric.size(), task->task().rubric().criterion_size());
  }
  // this one remembers landings: what charts show differs
  if (GetParam() == "hopper_backflip_guided") {
    EXPECT_NE(one.trajectories[0].true_rewards, other.trajectories[0].true_rewards);
  }
}

INSTANTIATE_TEST_SUITE_P(Shipped, EveryTask, testing::ValuesIn(ShippedTasks()),
                         [](const auto& info) { return info.param; });

TEST(ClipTruth, IsTheEpisodesWhereTheTaskRemembersNothing) {
  const auto task = Load("hopper");
  const Rollout rollout = Play(task, 300);
  const auto clips = CutClips(*task, rollout, 6, 1);
  ASSERT_TRUE(clips.ok()) << clips.status();
  for (const Clip& clip : *clips) {
    const int first = static_cast<int>(std::lround(clip.states[0] / task->step_seconds()));
    const auto& rewards = rollout.trajectories[0].true_rewards;
    for (int t = 0; t < clip.steps; ++t) {
      EXPECT_NEAR(clip.true_rewards[t], rewards[first + t], 1e-5) << first << " + " << t;
    }
  }
}

// Moments of the plain hopper that turns back from upside down in the air to upright
// within 40 steps, and sinks to height `end_z` meanwhile.
std::vector<double> HalfATurn(const Task& task, double end_z) {
  constexpr int kSteps = 40;
  const mjModel* model = (*MujocoTask::Of(task))->model();
  const DataPtr data(mj_makeData(model));
  std::vector<double> states((kSteps + 1) * task.state_size());
  for (int i = 0; i <= kSteps; ++i) {
    const double left = 1 - static_cast<double>(i) / kSteps;
    data->qpos[1] = end_z + 0.5 * left;
    data->qpos[2] = -2 * M_PI + M_PI * left;
    data->qvel[1] = -0.5 / (kSteps * task.step_seconds());
    data->qvel[2] = -M_PI / (kSteps * task.step_seconds());
    mj_getState(model, data.get(), &states[i * task.state_size()], mjSTATE_FULLPHYSICS);
  }
  return states;
}

TEST(Rubric, CountsWhatTheClipShowsInMargins) {
  const auto task = Load("hopper_backflip");
  const auto environment = task->MakeEnvironment();
  ASSERT_TRUE(environment.ok());
  const std::vector<float> actions(40 * 3);
  const auto landed = (*environment)->TruthOf(HalfATurn(*task, 1.2), actions);
  ASSERT_TRUE(landed.ok()) << landed.status();
  // a landing, and that it came down on its foot, in margins of 0.5; half a turn in the air but for
  // the last steps, in margins of 0.05; the height after the first step, in margins of 0.03
  EXPECT_THAT(landed->rubric, ElementsAre(2, 2, FloatNear(10, 1), FloatNear(1.6875 / 0.03, 0.01)));
  EXPECT_EQ(landed->true_rewards.size(), 40u);
  // the same a metre higher: nothing has landed
  const auto flying = (*environment)->TruthOf(HalfATurn(*task, 2.2), actions);
  ASSERT_TRUE(flying.ok()) << flying.status();
  EXPECT_THAT(flying->rubric,
              ElementsAre(0, 0, FloatNear(10, 1e-3), FloatNear(2.6875 / 0.03, 0.01)));
}

}  // namespace
}  // namespace backflip::sim
