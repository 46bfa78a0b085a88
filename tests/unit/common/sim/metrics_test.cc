#include "common/sim/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace backflip::sim {
namespace {

// A moment of a hopper: pitch turns backwards when it falls.
struct Moment {
  double turned, z, foot, body;
};

double Landed(const std::vector<Moment>& moments) {
  v1::Metric metric;
  metric.set_name("landed_backflips");
  metric.mutable_count()->set_at("foot && z > 1 && cos(2*_pi*turned) > cos(0.5)");
  metric.mutable_count()->set_change("turned");
  metric.mutable_count()->set_once("foot == 0");
  metric.mutable_count()->set_never("body");
  std::vector<double> values(4);
  const std::vector<std::string> names = {"turned", "z", "foot", "body"};
  auto accumulator = MetricAccumulator::Create(metric, names, values.data());
  EXPECT_TRUE(accumulator.ok()) << accumulator.status();
  for (size_t i = 0; i < moments.size(); ++i) {
    const Moment& m = moments[i];
    values = {m.turned, m.z, m.foot, m.body};
    if (i == 0) {
      accumulator->Begin();
    } else {
      accumulator->Step();
    }
  }
  return accumulator->value();
}

const Moment kStanding = {0, 1.25, 1, 0};

TEST(LandedBackflips, CountsATurnThatLandsOnTheFoot) {
  EXPECT_EQ(
      Landed({kStanding, {0.1, 1.5, 0, 0}, {0.5, 1.8, 0, 0}, {0.9, 1.3, 0, 0}, {1.02, 1.2, 1, 0}}),
      1);
}

TEST(LandedBackflips, CountsEachWholeTurnOfOneFlight) {
  EXPECT_EQ(Landed({kStanding, {0.6, 2, 0, 0}, {1.4, 2, 0, 0}, {1.97, 1.2, 1, 0}}), 2);
}

TEST(LandedBackflips, DoesNotCountATurnThatRolledOnTheFloor) {
  EXPECT_EQ(Landed({kStanding, {0.3, 0.4, 0, 1}, {0.6, 0.3, 0, 1}, {1.0, 1.2, 1, 0}}), 0);
}

TEST(LandedBackflips, DoesNotCountATurnThatNeverLeftTheFoot) {
  EXPECT_EQ(Landed({kStanding, {0.3, 1.2, 1, 0}, {0.6, 1.2, 1, 0}, {1.0, 1.2, 1, 0}}), 0);
}

TEST(LandedBackflips, DoesNotCountForwardTurns) {
  EXPECT_EQ(Landed({kStanding, {-0.5, 2, 0, 0}, {-1, 1.2, 1, 0}}), 0);
}

TEST(LandedBackflips, NeedsALandingHighAndUpright) {
  EXPECT_EQ(Landed({kStanding, {0.5, 2, 0, 0}, {1, 0.9, 1, 0}}), 0);
  EXPECT_EQ(Landed({kStanding, {0.5, 2, 0, 0}, {1.1, 1.2, 1, 0}}), 0);
}

TEST(LandedBackflips, StartsAnewAfterAFall) {
  // falls after half a turn, gets up, then one clean turn
  EXPECT_EQ(
      Landed({kStanding, {0.5, 0.3, 0, 1}, {1.0, 1.2, 1, 0}, {1.5, 2, 0, 0}, {2.0, 1.2, 1, 0}}), 1);
}

double Value(const v1::Metric& metric, const std::vector<double>& xs) {
  std::vector<double> values(1);
  auto accumulator = MetricAccumulator::Create(metric, {"x"}, values.data());
  EXPECT_TRUE(accumulator.ok()) << accumulator.status();
  for (size_t i = 0; i < xs.size(); ++i) {
    values[0] = xs[i];
    if (i == 0) {
      accumulator->Begin();
    } else {
      accumulator->Step();
    }
  }
  return accumulator->value();
}

TEST(Metric, SumsOverStepsButNotTheStart) {
  v1::Metric metric;
  metric.set_sum("2 * x");
  EXPECT_EQ(Value(metric, {100, 1, 2, 3}), 12);
}

TEST(Metric, TakesTheLargestValueEvenIfAllAreNegative) {
  v1::Metric metric;
  metric.set_max("x");
  EXPECT_EQ(Value(metric, {100, -3, -2, -5}), -2);
}

TEST(Metric, TakesTheChangeFromTheStart) {
  v1::Metric metric;
  metric.set_change("x");
  EXPECT_EQ(Value(metric, {100, 1, 2, 103}), 3);
}

TEST(Expression, NamesWhatItDoesNotKnow) {
  double value = 0;
  const auto expression = Expression::Compile("x + yy", {"x"}, &value);
  EXPECT_THAT(std::string(expression.status().message()),
              testing::HasSubstr("unknown name \"yy\" (known here: x)"));
}

TEST(Expression, KnowsClampAndConditions) {
  double value = 3;
  const auto expression = Expression::Compile("x > 2 ? clamp(x, 0, 1) : -1", {"x"}, &value);
  ASSERT_TRUE(expression.ok()) << expression.status();
  EXPECT_EQ(expression->Evaluate(), 1);
  value = 0;
  EXPECT_EQ(expression->Evaluate(), -1);
}

TEST(Expression, RefusesNamesOfFunctions) {
  EXPECT_FALSE(CheckName("clamp").ok());
  EXPECT_FALSE(CheckName("max").ok());
  EXPECT_FALSE(CheckName("2x").ok());
  EXPECT_TRUE(CheckName("torso_z").ok());
}

}  // namespace
}  // namespace backflip::sim
