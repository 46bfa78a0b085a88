#include "common/learn/on_policy/gae.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace backflip::learn {
namespace {

using experience::End;
using ::testing::ElementsAre;
using ::testing::FloatEq;

// of three steps with rewards 1, 2, 3 and values 4, 5, 6; γ 0.5, λ 0.5
AdvantageEstimates Estimate(End end, float next_value) {
  const std::vector<experience::Piece> pieces = {{0, 3, end, -1}};
  return EstimateAdvantages({1, 2, 3}, {4, 5, 6}, pieces, {next_value}, 0.5, 0.5);
}

TEST(EstimateAdvantages, GivesTheNumbersOfTheFormula) {
  // δ = 1 + 2.5 − 4, 2 + 3 − 5, 3 + 4 − 6; A = δ + 0.25 A'
  const AdvantageEstimates estimates = Estimate(End::kNone, 8);
  EXPECT_THAT(estimates.advantages, ElementsAre(FloatEq(-0.4375), FloatEq(0.25), FloatEq(1)));
  EXPECT_THAT(estimates.returns, ElementsAre(FloatEq(3.5625), FloatEq(5.25), FloatEq(7)));
}

TEST(EstimateAdvantages, CountsWhatFollowsATimeLimit) {
  EXPECT_EQ(Estimate(End::kTimeLimit, 8).advantages, Estimate(End::kNone, 8).advantages);
}

TEST(EstimateAdvantages, CountsNothingAfterATerminalEnd) {
  EXPECT_EQ(Estimate(End::kTerminal, 8).advantages, Estimate(End::kNone, 0).advantages);
}

TEST(EstimateAdvantages, SeesNoGainInADivergence) {
  // whatever is observed after it
  EXPECT_EQ(Estimate(End::kDiverged, 1000).advantages, Estimate(End::kNone, 6).advantages);
  // a policy that earns 1 a step, for ever: the step that diverged is like any other
  const std::vector<experience::Piece> pieces = {{0, 3, End::kDiverged, 0}};
  EXPECT_THAT(EstimateAdvantages({1, 1, 1}, {2, 2, 2}, pieces, {1000}, 0.5, 0.5).advantages,
              ElementsAre(0, 0, 0));
}

TEST(EstimateAdvantages, LetsNothingFlowFromOnePieceToAnother) {
  const std::vector<experience::Piece> pieces = {{0, 1, End::kTimeLimit, 0},
                                                 {1, 2, End::kNone, -1}};
  const AdvantageEstimates estimates =
      EstimateAdvantages({1, 2, 3}, {4, 5, 6}, pieces, {2, 8}, 0.5, 0.5);
  EXPECT_THAT(estimates.advantages, ElementsAre(FloatEq(-2), FloatEq(0.25), FloatEq(1)));
}

}  // namespace
}  // namespace backflip::learn
