#include "common/method/pace.h"

#include "common/options/run_spec.h"
#include "gtest/gtest.h"

namespace backflip::method {
namespace {

using options::DefaultRunSpec;

// paper, A.1: a quarter of the labels at the start, then a rate in proportion
// to 2e6 / (T + 2e6); figures of its integral
TEST(LabelsWantedAt, AnnealedFollowsThePaper) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.set_labels(700);
  spec.set_steps(10'000'000);
  spec.mutable_queries()->set_schedule(v1::ANNEALED);
  spec.mutable_queries()->set_asked_by(1);
  EXPECT_EQ(LabelsWantedAt(spec, 0), 175);
  EXPECT_NEAR(LabelsWantedAt(spec, 1'000'000), 294, 1);
  EXPECT_NEAR(LabelsWantedAt(spec, 5'000'000), 542, 1);
  EXPECT_EQ(LabelsWantedAt(spec, 10'000'000), 700);
  EXPECT_EQ(LabelsWantedAt(spec, 20'000'000), 700);
}

TEST(LabelsWantedAt, UniformSpreadsEvenlyUntilAskedBy) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.set_labels(900);
  spec.set_steps(1'000'000);
  spec.mutable_queries()->set_schedule(v1::UNIFORM);
  spec.mutable_queries()->set_initial_share(0.1);
  spec.mutable_queries()->set_asked_by(0.5);
  EXPECT_EQ(LabelsWantedAt(spec, 0), 90);
  EXPECT_EQ(LabelsWantedAt(spec, 250'000), 495);
  EXPECT_EQ(LabelsWantedAt(spec, 500'000), 900);
}

TEST(StepsAllowedBy, GrowsWithTheSquareOfTheLabelsWhileTheyWarmUp) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.set_steps_per_label(1000);
  EXPECT_EQ(StepsAllowedBy(spec, 30), 30'000);
  spec.set_warm_up_labels(300);
  EXPECT_EQ(StepsAllowedBy(spec, 0), 0);
  EXPECT_EQ(StepsAllowedBy(spec, 30), 3'000);
  EXPECT_EQ(StepsAllowedBy(spec, 150), 75'000);
  EXPECT_EQ(StepsAllowedBy(spec, 299), 298'003);
  EXPECT_EQ(StepsAllowedBy(spec, 300), 300'000);
  EXPECT_EQ(StepsAllowedBy(spec, 900), 900'000);
}

TEST(LabelsWantedAt, AreWithoutLockstepTheLeastThatAllowTheSteps) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.set_lockstep(false);
  spec.set_labels(1000);
  spec.set_steps(1'000'000);
  spec.mutable_queries()->set_initial_share(1e-6);
  spec.mutable_queries()->set_schedule(v1::UNIFORM);
  spec.mutable_queries()->set_asked_by(1);
  spec.set_steps_per_label(700);
  for (const int warm_up : {0, 400, 1000}) {
    spec.set_warm_up_labels(warm_up);
    // between labels, and from where the even schedule no longer wants more
    for (int64_t steps = 100; steps < 700'000; steps += 9'973) {
      const int64_t wanted = LabelsWantedAt(spec, steps);
      EXPECT_GE(StepsAllowedBy(spec, wanted), steps) << warm_up;
      EXPECT_LT(StepsAllowedBy(spec, wanted - 1), steps) << warm_up;
    }
  }
}

TEST(Progress, GrowsFromNoneWithTheBatchesThatThePolicyLearnsFrom) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.mutable_collection()->set_batch_steps(100);
  spec.mutable_collection()->set_clips_per_batch(1024);  // enough for the first questions
  spec.set_steps(951);
  ASSERT_EQ(Batches(spec), 10);
  EXPECT_FALSE(LearnsFrom(spec, 0));
  EXPECT_EQ(Progress(spec, 1), 0);
  EXPECT_EQ(Progress(spec, 6), 0.5);
  spec.set_reward(v1::TRUE);
  EXPECT_TRUE(LearnsFrom(spec, 0));
  EXPECT_EQ(Progress(spec, 0), 0);
  EXPECT_EQ(Progress(spec, 5), 0.5);
}

TEST(DeviationBonus, MovesWithTheProgressFromTheFirstToTheFinalOne) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.mutable_collection()->set_batch_steps(100);
  spec.mutable_collection()->set_clips_per_batch(1024);
  spec.set_steps(1000);
  EXPECT_EQ(DeviationBonus(spec, 4), 0);
  spec.mutable_reward_model()->set_deviation_bonus(2);
  spec.mutable_reward_model()->set_final_deviation_bonus(-1);
  ASSERT_EQ(Progress(spec, 1), 0);
  EXPECT_EQ(DeviationBonus(spec, 1), 2);
  EXPECT_EQ(DeviationBonus(spec, 6), 0.5);
}

TEST(BatchesOnceStopped, AreThoseThatLabelsHaveEarnedAndTheOneInHand) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.mutable_collection()->set_batch_steps(100);
  spec.set_steps(1000);
  EXPECT_EQ(BatchesOnceStopped(spec, 3, 1), 10);  // in lockstep labels earn nothing
  spec.set_lockstep(false);
  spec.set_steps_per_label(50);
  EXPECT_EQ(BatchesOnceStopped(spec, 7, 1), 3);
  EXPECT_EQ(BatchesOnceStopped(spec, 7, 5), 6);
  EXPECT_EQ(BatchesOnceStopped(spec, 700, 5), 10);
}

}  // namespace
}  // namespace backflip::method
