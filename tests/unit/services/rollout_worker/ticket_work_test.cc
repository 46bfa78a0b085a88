#include "services/rollout_worker/ticket_work.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace backflip::rollout_worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What one environment did in two steps, of which the first one diverged.
sim::Rollout Diverged() {
  sim::Rollout rollout;
  experience::Trajectory& trajectory = rollout.trajectories.emplace_back();
  trajectory.steps = 2;
  trajectory.observations = {1, 2};
  trajectory.actions = {0.5f, -0.5f};
  trajectory.log_probs = {-1, -2};
  trajectory.episode_ends = {{0, experience::End::kDiverged}};
  trajectory.end_observations = {9};
  trajectory.last_observation = {3};
  trajectory.true_rewards = {7, 8};
  rollout.ends.push_back({.physics = {0.25}, .episode_step = 1, .noise = {0.5f}});
  return rollout;
}

TEST(SimulatorTicket, CountsFreshEpisodesAsOldAsTheTicketSays) {
  v1::Ticket ticket;
  v1::EnvironmentStart* start = ticket.add_environments();
  start->set_reset_seed(5);
  start->set_episode_step(70);
  const sim::Ticket result = SimulatorTicket(ticket, nullptr);
  EXPECT_EQ(result.environments[0].reset_seed, 5u);
  EXPECT_EQ(result.environments[0].episode_step, 70);
}

TEST(LearnerRollout, SaysWhyAnEpisodeEndedAndWhereTheTicketDid) {
  v1::Ticket ticket;
  ticket.set_purpose(v1::COLLECT);
  ticket.set_iteration(4);
  const v1::Rollout rollout = LearnerRollout(ticket, Diverged(), false);
  EXPECT_EQ(rollout.iteration(), 4);
  const v1::Trajectory& trajectory = rollout.trajectories(0);
  EXPECT_THAT(trajectory.episode_ends(), ElementsAre(0));
  EXPECT_THAT(trajectory.end_reasons(), ElementsAre(v1::DIVERGED));
  EXPECT_THAT(trajectory.log_probs(), ElementsAre(-1, -2));
  EXPECT_THAT(trajectory.end().physics(), ElementsAre(0.25));
  EXPECT_EQ(trajectory.end().episode_step(), 1);
}

TEST(LearnerRollout, HoldsTrueRewardsOnlyWhereTheRunLearnsFromThem) {
  v1::Ticket ticket;
  ticket.set_purpose(v1::EVALUATE);
  const v1::Rollout without = LearnerRollout(ticket, Diverged(), false);
  EXPECT_THAT(without.trajectories(0).true_rewards(), IsEmpty());
  EXPECT_FALSE(without.trajectories(0).has_end()) << "an evaluation does not go on";
  EXPECT_THAT(LearnerRollout(ticket, Diverged(), true).trajectories(0).true_rewards(),
              ElementsAre(7, 8));
}

}  // namespace
}  // namespace backflip::rollout_worker
