#include "cli/output/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace backflip::cli {
namespace {

// Values of scipy.stats.trim_mean(x, 0.25), as rliable computes it.
TEST(InterquartileMean, LeavesOutAQuarterAtEitherEnd) {
  EXPECT_DOUBLE_EQ(InterquartileMean({5}), 5);
  EXPECT_DOUBLE_EQ(InterquartileMean({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(InterquartileMean({100, 1, 2, 3}), 2.5);
  EXPECT_DOUBLE_EQ(InterquartileMean({-100, 1, 2, 4, 100}), 7.0 / 3);
  EXPECT_DOUBLE_EQ(InterquartileMean({1, 2, 3, 4, 5, 6, 7, 8, 9, 100}), 5.5);
  EXPECT_TRUE(std::isnan(InterquartileMean({})));
}

TEST(Estimate, IntervalHoldsTheTrueMeanNineteenTimesOfTwenty) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal(3, 2);
  int held = 0;
  constexpr int kSamples = 400;
  for (int sample = 0; sample < kSamples; ++sample) {
    std::vector<double> values(20);
    for (double& value : values) value = normal(random);
    const Estimate estimate = EstimateOf(values);
    EXPECT_LE(estimate.low, estimate.value);
    EXPECT_LE(estimate.value, estimate.high);
    held += estimate.low <= 3 && 3 <= estimate.high;
  }
  EXPECT_GT(held, 0.88 * kSamples);
  EXPECT_LT(held, 0.99 * kSamples);
}

TEST(Estimate, OfOneValueHasNoWidth) {
  const Estimate estimate = EstimateOf({4});
  EXPECT_EQ(estimate.low, 4);
  EXPECT_EQ(estimate.high, 4);
}

TEST(Ratio, OfCostsIsTurnedAroundAndOfMixedSignsIsNone) {
  EXPECT_DOUBLE_EQ(Ratio(3, 4), 0.75);
  EXPECT_DOUBLE_EQ(Ratio(-5, -4), 0.8);
  EXPECT_TRUE(std::isnan(Ratio(-1, 4)));
  EXPECT_TRUE(std::isnan(Ratio(1, 0)));
}

}  // namespace
}  // namespace backflip::cli
