// Agreement, Dawid and Skene's model, intervals: against textbooks, and against
// Crowd-Kit on the synthetic crowd of tests/support/crowd_reference.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "services/preference_broker/trust/agreement.h"
#include "services/preference_broker/trust/dawid_skene.h"
#include "services/preference_broker/trust/intervals.h"
#include "services/preference_broker/trust/progress.h"

namespace backflip::trust {
namespace {

// How far two programs that add the same numbers in another order may be apart.
constexpr double kArithmetic = 1e-9;
// The same after many steps of EM.
constexpr double kManySteps = 1e-7;

const nlohmann::json& Reference() {
  static const nlohmann::json reference = nlohmann::json::parse(std::ifstream(REFERENCE));
  return reference;
}

std::vector<Vote> ReferenceVotes() {
  std::vector<Vote> votes;
  for (const auto& vote : Reference()["votes"]) votes.push_back({vote[0], vote[1], vote[2]});
  return votes;
}

TEST(Alpha, IsCrowdKitsOnItsCrowd) {
  const auto& expected = Reference()["krippendorff"];
  const std::vector<Vote> votes = ReferenceVotes();
  EXPECT_NEAR(*KrippendorffAlpha(votes, 3, Level::kNominal), expected["nominal"], kArithmetic);
  EXPECT_NEAR(*KrippendorffAlpha(votes, 3, Level::kOrdinal), expected["ordinal"], kArithmetic);
}

// Krippendorff (2011), section C: four observers, twelve units, missing data.
TEST(Alpha, IsKrippendorffsOwnExample) {
  constexpr int kNone = 0;
  const int given[4][12] = {{1, 2, 3, 3, 2, 1, 4, 1, 2, kNone, kNone, kNone},
                            {1, 2, 3, 3, 2, 2, 4, 1, 2, 5, kNone, 3},
                            {kNone, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, kNone},
                            {1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, kNone}};
  std::vector<Vote> votes;
  for (int observer = 0; observer < 4; ++observer) {
    for (int unit = 0; unit < 12; ++unit) {
      if (given[observer][unit] != kNone)
        votes.push_back({unit, observer, given[observer][unit] - 1});
    }
  }
  EXPECT_NEAR(*KrippendorffAlpha(votes, 5, Level::kNominal), 0.743, 0.0005);
  EXPECT_NEAR(*KrippendorffAlpha(votes, 5, Level::kOrdinal), 0.815, 0.0005);
}

TEST(Alpha, IsOneForAgreementAndUnsetWithoutAnythingToCompare) {
  const std::vector<Vote> agreed = {{0, 0, 0}, {0, 1, 0}, {1, 0, 2}, {1, 1, 2}};
  EXPECT_DOUBLE_EQ(*KrippendorffAlpha(agreed, 3, Level::kNominal), 1);
  EXPECT_DOUBLE_EQ(*KrippendorffAlpha(agreed, 3, Level::kOrdinal), 1);
  EXPECT_FALSE(KrippendorffAlpha({}, 3, Level::kNominal).has_value());
  EXPECT_FALSE(KrippendorffAlpha({{0, 0, 0}, {1, 1, 2}}, 3, Level::kNominal).has_value());
  EXPECT_FALSE(KrippendorffAlpha({{0, 0, 1}, {0, 1, 1}}, 3, Level::kOrdinal).has_value());
}

TEST(Alpha, OrdinalForgivesNeighboursMoreThanOpposites) {
  // the same number of disagreements: with a neighbour, or with the other end
  std::vector<Vote> near, far;
  for (int item = 0; item < 8; ++item) {
    const int value = item % 3;
    near.push_back({item, 0, value});
    far.push_back({item, 0, value});
    near.push_back({item, 1, item == 0 ? 1 : value});
    far.push_back({item, 1, item == 0 ? 2 : value});
  }
  EXPECT_GT(*KrippendorffAlpha(near, 3, Level::kOrdinal),
            *KrippendorffAlpha(far, 3, Level::kOrdinal));
}

TEST(Entropy, IsNothingForOneMindAndOneForAnEvenMix) {
  EXPECT_DOUBLE_EQ(NormalizedEntropy({4, 0, 0}), 0);
  EXPECT_DOUBLE_EQ(NormalizedEntropy({2, 2, 2}), 1);
  EXPECT_NEAR(NormalizedEntropy({1, 0, 1}), std::log(2) / std::log(3), kArithmetic);
  EXPECT_DOUBLE_EQ(NormalizedEntropy({0, 0, 0}), 0);
}

TEST(DawidSkene, IsCrowdKitsOnItsCrowd) {
  const auto& expected = Reference()["dawid_skene"];
  const int items = Reference()["pairs"].size(), labelers = Reference()["labelers"].size();
  DawidSkeneOptions options;
  // both take this many steps from the shares of the votes
  options.max_iterations = expected["iterations"];
  options.tolerance = 0;
  const DawidSkene fit = FitDawidSkene(ReferenceVotes(), items, labelers, 3, options);
  EXPECT_EQ(fit.iterations, options.max_iterations);
  for (int item = 0; item < items; ++item) {
    for (int k = 0; k < 3; ++k)
      EXPECT_NEAR(fit.truth[item][k], expected["truth"][item][k], kManySteps) << item;
  }
  for (int k = 0; k < 3; ++k) EXPECT_NEAR(fit.prior[k], expected["prior"][k], kManySteps);
  for (int labeler = 0; labeler < labelers; ++labeler) {
    for (int k = 0; k < 3; ++k) {
      for (int given = 0; given < 3; ++given) {
        EXPECT_NEAR(fit.confusion[labeler][k][given], expected["confusion"][labeler][k][given],
                    kManySteps)
            << labeler;
      }
    }
  }
}

TEST(DawidSkene, TellsCarefulLabelersFromRandomAndInvertedOnes) {
  const int items = Reference()["pairs"].size(), labelers = Reference()["labelers"].size();
  DawidSkeneOptions options;
  options.smoothing = 1;
  const DawidSkene fit = FitDawidSkene(ReferenceVotes(), items, labelers, 3, options);
  for (int labeler = 0; labeler < labelers; ++labeler) {
    const std::string kind = Reference()["labelers"][labeler]["kind"];
    if (kind == "careful" || kind == "good") {
      EXPECT_GT(fit.Accuracy(labeler), 0.7) << labeler;
    } else if (kind == "random") {
      EXPECT_NEAR(fit.Accuracy(labeler), 1.0 / 3, 0.15);
    } else if (kind == "inverted") {
      EXPECT_LT(fit.Accuracy(labeler), 0.15);
    }
  }
}

TEST(DawidSkene, SmoothingKeepsFewAnswersFromCertainty) {
  const std::vector<Vote> votes = {{0, 0, 0}, {0, 1, 0}, {1, 0, 2}, {1, 1, 2}};
  DawidSkeneOptions options;
  const DawidSkene sure = FitDawidSkene(votes, 2, 2, 3, options);
  EXPECT_NEAR(sure.Accuracy(0), 1, 1e-6);
  options.smoothing = 1;
  const DawidSkene smooth = FitDawidSkene(votes, 2, 2, 3, options);
  EXPECT_LT(smooth.Accuracy(0), 0.7);
  EXPECT_GT(smooth.Accuracy(0), 1.0 / 3);
  for (const auto& row : smooth.confusion[0]) EXPECT_NEAR(row[0] + row[1] + row[2], 1, kArithmetic);
}

TEST(DawidSkene, StandsWithoutVotes) {
  const DawidSkene fit = FitDawidSkene({}, 1, 1, 3, {});
  EXPECT_NEAR(fit.Accuracy(0), 1.0 / 3, kArithmetic);
  EXPECT_NEAR(fit.truth[0][1], 1.0 / 3, kArithmetic);
}

// Brown, Cai and DasGupta (2001), "Interval Estimation for a Binomial
// Proportion", equation (4), worked by hand for 8 of 10 at 95 %.
TEST(Wilson, IsTheTextbooks) {
  const Interval interval = WilsonInterval(8, 10, 0.95);
  EXPECT_NEAR(interval.low, 0.4902, 5e-5);
  EXPECT_NEAR(interval.high, 0.9433, 5e-5);
  const Interval none = WilsonInterval(0, 10, 0.9);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.2129, 5e-5);
  const Interval unknown = WilsonInterval(0, 0, 0.9);
  EXPECT_EQ(unknown.low, 0);
  EXPECT_EQ(unknown.high, 1);
  const Interval tie = WilsonInterval(0.5, 1, 0.9);
  EXPECT_NEAR(tie.low + tie.high, 1, kArithmetic);
}

std::vector<ProgressAnswer> Answers(const std::vector<double>& rates, int each) {
  std::vector<ProgressAnswer> answers;
  for (size_t block = 0; block < rates.size(); ++block) {
    for (int i = 0; i < each; ++i) {
      answers.push_back(
          {static_cast<int64_t>(10 * block + i), i < rates[block] * each ? 1.0 : 0.0});
    }
  }
  return answers;
}

TEST(Progress, PointsHoldTenAnswersOrMore) {
  EXPECT_TRUE(ProgressPoints({}).empty());
  EXPECT_EQ(ProgressPoints(Answers({1}, 7)).size(), 1);
  EXPECT_EQ(ProgressPoints(Answers({1}, 19)).size(), 1);
  const auto three = ProgressPoints(Answers({1, 0.5, 0}, 11));
  ASSERT_EQ(three.size(), 3);
  EXPECT_EQ(three[0].answers, 11);
  EXPECT_EQ(three[0].win_rate, 1);
  EXPECT_EQ(three[2].iteration, 30);
  EXPECT_EQ(three[2].win_rate, 0);
  const auto many = ProgressPoints(Answers({0.5}, 1003));
  ASSERT_EQ(many.size(), 20);
  int64_t answers = 0;
  for (const ProgressPoint& point : many) {
    EXPECT_GE(point.answers, 50);
    EXPECT_LE(point.answers, 51);
    answers += point.answers;
  }
  EXPECT_EQ(answers, 1003);
  const auto tie = ProgressPoints({{4, 0.5}});
  EXPECT_EQ(tie[0].win_rate, 0.5);
  EXPECT_NEAR(tie[0].interval.low + tie[0].interval.high, 1, kArithmetic);
}

TEST(Progress, WarnsWhenPredictionsRiseAndPeopleSeeNothing) {
  const auto stalled = ProgressPoints(Answers({0.6, 0.5, 0.4}, 10));
  const std::vector<SeriesPoint> rising = {{0, 1}, {10, 2}, {20, 5}, {29, 7.5}};
  const auto warning = GamedReward(stalled, rising);
  ASSERT_TRUE(warning.has_value());
  EXPECT_THAT(*warning, ::testing::HasSubstr("from 1 (batch 0) to 7.5 (batch 29)"));
  EXPECT_THAT(*warning, ::testing::HasSubstr("won 40 % of 10"));
  EXPECT_THAT(*warning, ::testing::HasSubstr("60 % before"));
}

TEST(Progress, IsQuietWhileThingsGoWellOrNothingIsKnown) {
  const auto stalled = ProgressPoints(Answers({0.6, 0.5, 0.4}, 10));
  const std::vector<SeriesPoint> rising = {{0, 1}, {10, 2}, {20, 5}, {29, 7.5}};
  const std::vector<SeriesPoint> level = {{0, 0}, {9, 7}, {20, 7.2}, {29, 7.1}};
  EXPECT_FALSE(GamedReward(stalled, {}).has_value());
  EXPECT_FALSE(GamedReward(stalled, level).has_value());
  EXPECT_FALSE(GamedReward(ProgressPoints(Answers({0.4}, 12)), rising).has_value());
  // people see it too
  EXPECT_FALSE(GamedReward(ProgressPoints(Answers({0.4, 0.5, 0.6}, 10)), rising).has_value());
  // no longer more, but clearly better than before each time
  EXPECT_FALSE(GamedReward(ProgressPoints(Answers({1, 1, 1}, 10)), rising).has_value());
}

}  // namespace
}  // namespace backflip::trust
