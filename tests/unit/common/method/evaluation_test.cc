#include "common/method/evaluation.h"

#include <cmath>

#include "common/method/run_reward.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace backflip::method {
namespace {

using ::testing::ElementsAre;

TEST(IsKept, SpreadsSnapshotsEvenlyAndKeepsTheLast) {
  std::vector<int64_t> kept;
  for (int64_t i = 1; i <= 10; ++i) {
    if (IsKept(i, 10, 3)) kept.push_back(i);
  }
  EXPECT_THAT(kept, ElementsAre(4, 7, 10));
  for (int64_t i = 1; i <= 5; ++i) EXPECT_TRUE(IsKept(i, 5, 20));
}

TEST(MeanReturn, IsTheMeanOfTheEpisodesSums) {
  std::vector<experience::Trajectory> episodes(2);
  episodes[0].true_rewards = {1, 2};
  episodes[1].true_rewards = {5};
  EXPECT_EQ(MeanReturn(episodes, RunReward(nullptr)), 4);
}

TEST(BestOf, IsTheFirstOfTheGreatestAndNeverWhatIsNoNumber) {
  EXPECT_EQ(BestOf({NAN, 1, 3, 2, 3}), 2u);
  EXPECT_EQ(BestOf({NAN}), std::nullopt);
  EXPECT_EQ(BestOf({}), std::nullopt);
}

}  // namespace
}  // namespace backflip::method
