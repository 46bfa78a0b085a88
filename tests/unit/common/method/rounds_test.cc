#include "common/method/rounds.h"

#include <gtest/gtest.h>

#include "common/method/pace.h"
#include "common/options/run_spec.h"

namespace backflip::method {
namespace {

v1::RunSpec SpecOf(int64_t round_steps) {
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.set_labels(100);
  spec.set_steps(10'000);
  spec.mutable_collection()->set_batch_steps(1000);
  spec.mutable_queries()->set_round_steps(round_steps);
  return spec;
}

TEST(Rounds, FollowEveryBatchByDefault) {
  const v1::RunSpec spec = SpecOf(0);
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(BatchOfRound(spec, i), i);
    EXPECT_EQ(RoundAt(spec, i), i);
    EXPECT_EQ(RewardIteration(spec, i + 1), i + 1);
    EXPECT_EQ(LabelsWantedIn(spec, i), LabelsWantedAt(spec, (i + 1) * 1000));
  }
}

TEST(Rounds, AreRoundedUpToWholeBatches) {
  for (const int64_t steps : {2001, 3000}) {
    EXPECT_EQ(BatchOfRound(SpecOf(steps), 0), 0);
    EXPECT_EQ(BatchOfRound(SpecOf(steps), 2), 6);
  }
}

TEST(Rounds, RewardTheIterationsUntilTheNextOne) {
  const v1::RunSpec spec = SpecOf(3000);
  const int64_t published[] = {1, 1, 1, 4, 4, 4, 7, 7, 7, 10};
  for (int64_t i = 1; i <= 10; ++i) EXPECT_EQ(RewardIteration(spec, i), published[i - 1]) << i;
  EXPECT_EQ(RoundAt(spec, -1), -1);
  EXPECT_EQ(RoundAt(spec, 2), 0);
  EXPECT_EQ(RoundAt(spec, 3), 1);
}

TEST(Rounds, SpendTheWholeBudgetByTheLastOne) {
  const v1::RunSpec spec = SpecOf(4000);
  EXPECT_LT(LabelsWantedIn(spec, 1), 100);
  EXPECT_EQ(LabelsWantedIn(spec, RoundAt(spec, 9)), 100);
}

}  // namespace
}  // namespace backflip::method
