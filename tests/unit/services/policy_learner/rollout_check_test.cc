#include "services/policy_learner/rollout_check.h"

#include <functional>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/policy_learner/synthetic_rollouts.h"

namespace backflip::policy_learner {
namespace {

using ::testing::HasSubstr;

const RolloutShape kShape{kObservations, kActions, kEpisodeSteps, false};

v1::Ticket CollectTicket() {
  v1::Ticket ticket;
  ticket.set_iteration(40);
  ticket.set_index(1);
  ticket.set_purpose(v1::COLLECT);
  ticket.set_policy_version(12);
  ticket.set_steps(8);
  ticket.add_environments()->set_reset_seed(5);
  ticket.add_environments()->set_reset_seed(6);
  return ticket;
}

// What the check says of a rollout that `change` has spoilt.
std::string Complaint(const std::function<void(v1::Rollout*)>& change) {
  const v1::Ticket ticket = CollectTicket();
  const auto rollout = SyntheticRollout(ticket);
  EXPECT_TRUE(CheckRollout(ticket, kShape, *rollout).ok());
  change(rollout.get());
  const absl::Status status = CheckRollout(ticket, kShape, *rollout);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

TEST(CheckRollout, NamesEnvironmentFieldAndSizes) {
  EXPECT_EQ(Complaint([](v1::Rollout* r) {
              r->mutable_trajectories(1)->mutable_actions()->RemoveLast();
            }),
            "rollout of ticket 40.1, environment 1: actions has 15 numbers "
            "instead of 16");
}

TEST(CheckRollout, NamesThePlaceOfANumberThatIsNotFinite) {
  EXPECT_THAT(Complaint([](v1::Rollout* r) {
                r->mutable_trajectories(0)->set_observations(
                    7, std::numeric_limits<float>::quiet_NaN());
              }),
              HasSubstr("environment 0: observations[7] is not finite"));
  EXPECT_THAT(Complaint([](v1::Rollout* r) {
                r->mutable_trajectories(0)->mutable_end()->set_physics(
                    0, std::numeric_limits<double>::infinity());
              }),
              HasSubstr("end.physics[0] is not finite"));
}

TEST(CheckRollout, RefusesAnotherPolicyThanTheTicketsOwn) {
  EXPECT_THAT(Complaint([](v1::Rollout* r) { r->set_policy_version(11); }),
              HasSubstr("policy version 11 instead of 12"));
}

TEST(CheckRollout, RefusesTrueRewardsWhereNoneBelong) {
  EXPECT_THAT(Complaint([](v1::Rollout* r) {
                for (int i = 0; i < 8; ++i) {
                  r->mutable_trajectories(0)->add_true_rewards(1);
                }
              }),
              HasSubstr("true_rewards has 8 numbers instead of 0"));
}

TEST(CheckRollout, AsksForTrueRewardsInABaseline) {
  const v1::Ticket ticket = CollectTicket();
  RolloutShape shape = kShape;
  shape.true_rewards = true;
  EXPECT_FALSE(CheckRollout(ticket, shape, *SyntheticRollout(ticket)).ok());
  EXPECT_TRUE(CheckRollout(ticket, shape, *SyntheticRollout(ticket, true)).ok());
}

TEST(CheckRollout, RefusesEpisodeEndsOutOfOrderOrOutside) {
  EXPECT_THAT(Complaint([](v1::Rollout* r) { r->mutable_trajectories(0)->set_episode_ends(0, 8); }),
              HasSubstr("episode_ends holds 8"));
}

TEST(CheckRollout, AsksForAReasonForEachEndOrForNone) {
  EXPECT_THAT(Complaint([](v1::Rollout* r) {
                r->mutable_trajectories(0)->add_end_reasons(v1::TIME_LIMIT);
                r->mutable_trajectories(0)->add_end_reasons(v1::DIVERGED);
              }),
              HasSubstr("end_reasons has 2 instead of 1"));
  EXPECT_THAT(Complaint([](v1::Rollout* r) {
                r->mutable_trajectories(0)->add_end_reasons(v1::END_UNSPECIFIED);
              }),
              HasSubstr("end_reasons holds 0"));
}

TEST(CheckRollout, AsksForTheEndState) {
  EXPECT_THAT(Complaint([](v1::Rollout* r) { r->mutable_trajectories(1)->clear_end(); }),
              HasSubstr("end state is missing"));
}

}  // namespace
}  // namespace backflip::policy_learner
