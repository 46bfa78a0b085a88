#include "services/reward_trainer/round_planner.h"

#include <gtest/gtest.h>

namespace backflip::reward_trainer {
namespace {

TEST(PairsToOpen, AsksForWhatIsMissing) { EXPECT_EQ(PairsToOpen(30, 20, 4, 1), 6); }

TEST(PairsToOpen, AsksNothingWhereEnoughWasAsked) {
  EXPECT_EQ(PairsToOpen(30, 30, 0, 1), 0);
  EXPECT_EQ(PairsToOpen(30, 20, 11, 1), 0);
}

TEST(PairsToOpen, CountsEveryAnswerThatAQuestionWants) {
  EXPECT_EQ(PairsToOpen(9, 0, 0, 3), 3);
  EXPECT_EQ(PairsToOpen(10, 0, 0, 3), 4);
}

}  // namespace
}  // namespace backflip::reward_trainer
