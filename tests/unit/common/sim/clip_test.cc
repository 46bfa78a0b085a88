#include "common/sim/clip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/sim/simulator.h"

namespace backflip::sim {
namespace {

using experience::Clip;

class Clips : public testing::Test {
 protected:
  Clips() {
    task_ = *Task::FromFolder(BACKFLIP_TASKS "/hopper_backflip_guided");
    Ticket ticket;
    ticket.steps = 650;
    ticket.environments.resize(3);
    for (int i = 0; i < 3; ++i) ticket.environments[i].reset_seed = i;
    rollout_ = *(*Simulator::Start(task_, 1))->Run(ticket);
  }

  std::shared_ptr<const Task> task_;
  Rollout rollout_;
};

TEST_F(Clips, HoldOneMomentMoreThanSteps) {
  const auto clips = *CutClips(*task_, rollout_, 4, 1);
  ASSERT_EQ(clips.size(), 4u);
  for (const Clip& clip : clips) {
    EXPECT_EQ(clip.steps, 60);
    EXPECT_EQ(clip.observations.size(), 61u * task_->observation_size());
    EXPECT_EQ(clip.actions.size(), 60u * 3);
    EXPECT_EQ(clip.states.size(), 61u * task_->state_size());
    EXPECT_EQ(clip.poses.size(), 61u * task_->bodies() * 7);
    EXPECT_EQ(clip.true_rewards.size(), 60u);
  }
}

TEST_F(Clips, CrossNoReset) {
  // 500 steps and 150 steps an environment: 8 and 2 clips
  const auto clips = *CutClips(*task_, rollout_, 1000, 2);
  EXPECT_EQ(clips.size(), 30u);
  for (const Clip& clip : clips) {
    const int size = task_->state_size();
    for (int i = 0; i < clip.steps; ++i) {
      // the first number of a state is the time since the reset
      EXPECT_NEAR(clip.states[(i + 1) * size] - clip.states[i * size], 0.008, 1e-9);
    }
  }
}

TEST_F(Clips, BeginAnywhereInAnEpisode) {
  int starts[3] = {0, 0, 0};  // in each third of the steps of a clip
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto clips = *CutClips(*task_, rollout_, 3, seed);
    for (const Clip& clip : clips) {
      const int first = static_cast<int>(std::lround(clip.states[0] / 0.008));
      ++starts[first % 60 / 20];
    }
  }
  for (const int count : starts) EXPECT_GT(count, 60);
}

TEST_F(Clips, HoldNoStepThatDiverged) {
  const auto latest = [&] {
    double time = 0;
    for (uint64_t seed = 0; seed < 30; ++seed) {
      const auto clips = *CutClips(*task_, rollout_, 1000, seed);
      for (const Clip& clip : clips) {
        time = std::max(time, clip.states[clip.steps * task_->state_size()]);
      }
    }
    return time / 0.008;
  };
  EXPECT_NEAR(latest(), 500, 0.01);
  for (auto& trajectory : rollout_.trajectories) {
    trajectory.episode_ends[0].reason = experience::End::kDiverged;
  }
  EXPECT_NEAR(latest(), 499, 0.01);
}

TEST_F(Clips, ShowWhatWasObserved) {
  const auto clips = *CutClips(*task_, rollout_, 1000, 3);
  for (const Clip& clip : clips) {
    for (int i = 0; i <= clip.steps; ++i) {
      // observation 0 is the torso's height; the torso is the first body
      EXPECT_NEAR(clip.observations[i * task_->observation_size()],
                  clip.poses[i * task_->bodies() * 7 + 2], 1e-5);
    }
  }
}

TEST_F(Clips, AreDrawnFromTheSeed) {
  const auto states = [&](uint64_t seed) {
    return CutClips(*task_, rollout_, 1, seed)->front().states;
  };
  EXPECT_EQ(states(5), states(5));
  EXPECT_NE(states(5), states(6));
}

}  // namespace
}  // namespace backflip::sim
