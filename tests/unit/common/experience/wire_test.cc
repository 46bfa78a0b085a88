#include "common/experience/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backflip::experience {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Three steps of two observed numbers and one action.
Trajectory Sample() {
  Trajectory t;
  t.steps = 3;
  t.observations = {1, 2, 3, 4, 5, 6};
  t.actions = {0.5f, -2, 0};
  t.log_probs = {-1, -2, -3};
  t.episode_ends = {{0, End::kTerminal}, {1, End::kDiverged}, {2, End::kTimeLimit}};
  t.end_observations = {7, 8, 9, 10, 11, 12};
  t.last_observation = {11, 12};
  t.true_rewards = {1, 0, -1};
  return t;
}

TEST(WireTrajectory, ComesBackAsItWent) {
  const Trajectory before = Sample();
  v1::Trajectory message;
  ToProto(before, &message);
  EXPECT_THAT(message.end_reasons(), ElementsAre(v1::TERMINAL, v1::DIVERGED, v1::TIME_LIMIT));
  const Trajectory after = FromProto(message, 1);
  EXPECT_EQ(after.steps, before.steps);
  EXPECT_EQ(after.observations, before.observations);
  EXPECT_EQ(after.actions, before.actions);
  EXPECT_EQ(after.log_probs, before.log_probs);
  EXPECT_EQ(after.episode_ends, before.episode_ends);
  EXPECT_EQ(after.end_observations, before.end_observations);
  EXPECT_EQ(after.last_observation, before.last_observation);
  EXPECT_EQ(after.true_rewards, before.true_rewards);
}

TEST(WireTrajectory, WithoutReasonsHasTimeLimits) {
  v1::Trajectory message;
  ToProto(Sample(), &message);
  message.clear_end_reasons();
  EXPECT_THAT(FromProto(message, 1).episode_ends,
              ElementsAre(EpisodeEnd{0, End::kTimeLimit}, EpisodeEnd{1, End::kTimeLimit},
                          EpisodeEnd{2, End::kTimeLimit}));
  // a reason of a later version, or an unspecified one
  for (int i = 0; i < 3; ++i) message.add_end_reasons(static_cast<v1::End>(i == 0 ? 77 : 0));
  EXPECT_EQ(FromProto(message, 1).episode_ends[0].reason, End::kTimeLimit);
  EXPECT_EQ(FromProto(message, 1).episode_ends[1].reason, End::kTimeLimit);
}

TEST(WireTrajectory, SaysNothingOfTrueRewardsItDoesNotHave) {
  Trajectory trajectory = Sample();
  trajectory.true_rewards.clear();
  v1::Trajectory message;
  ToProto(trajectory, &message);
  EXPECT_THAT(message.true_rewards(), IsEmpty());
}

// Two steps of two observed numbers and one action; one body.
Clip SampleClip() {
  Clip clip;
  clip.steps = 2;
  clip.observations = {1, 2, 3, 4, 5, 6};
  clip.actions = {0.5f, -0.5f};
  clip.poses.assign(3 * 7, 0.25f);
  clip.states = {0, 1, 2};
  clip.true_rewards = {4, 5};
  return clip;
}

TEST(WireClip, CarriesAllThatAClipHas) {
  v1::Clip message;
  ToProto(SampleClip(), 1, &message);
  EXPECT_EQ(message.steps(), 2);
  EXPECT_EQ(message.observations_size(), 6);
  EXPECT_THAT(message.actions(), ElementsAre(0.5f, -0.5f));
  EXPECT_EQ(message.poses().bodies(), 1);
  EXPECT_EQ(message.poses().poses_size(), 21);
  EXPECT_THAT(message.states(), ElementsAre(0, 1, 2));
  EXPECT_THAT(message.true_rewards(), ElementsAre(4, 5));
}

TEST(WireClip, IsReadForWhatIsLearnedFrom) {
  v1::Clip message;
  ToProto(SampleClip(), 1, &message);
  const auto clip = FromProto(message, 2, 1);
  ASSERT_TRUE(clip.ok()) << clip.status();
  EXPECT_EQ(clip->steps, 2);
  EXPECT_EQ(clip->observations, SampleClip().observations);
  EXPECT_EQ(clip->actions, SampleClip().actions);
  EXPECT_THAT(clip->poses, IsEmpty());
  EXPECT_EQ(clip->true_rewards, SampleClip().true_rewards) << "where the broker sends them";
}

TEST(WireClip, IsRefusedWhereSizesDoNotFit) {
  v1::Clip message;
  ToProto(SampleClip(), 1, &message);
  EXPECT_TRUE(absl::IsInvalidArgument(FromProto(message, 3, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FromProto(message, 2, 2).status()));
  message.set_steps(0);
  EXPECT_TRUE(absl::IsInvalidArgument(FromProto(message, 2, 1).status()));
}

}  // namespace
}  // namespace backflip::experience
