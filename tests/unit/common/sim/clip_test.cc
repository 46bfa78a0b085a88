#include "common/sim/clip.h"

#include <gtest/gtest.h>

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
