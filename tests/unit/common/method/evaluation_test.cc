#include "common/method/evaluation.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

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

// Over one observation and one action: each member's reward is the observation times its gain.
nn::RewardModel Ensemble(const std::vector<float>& gains) {
  const int64_t members = static_cast<int64_t>(gains.size());
  nn::Snapshot s;
  s.tensors["observation_mean"] = {{1}, {0}};
  s.tensors["observation_std"] = {{1}, {1}};
  s.tensors["layer0.weight"] = {{members, 2, 1}, {}};
  for (const float gain : gains) {
    s.tensors["layer0.weight"].values.insert(s.tensors["layer0.weight"].values.end(), {gain, 0});
  }
  s.tensors["layer0.bias"] = {{members, 1}, std::vector<float>(members, 0)};
  s.tensors["member_mean"] = {{members}, std::vector<float>(members, 0)};
  s.tensors["member_std"] = {{members}, std::vector<float>(members, 1)};
  s.metadata = {{"kind", "reward"},           {"members", std::to_string(members)},
                {"observations", "1"},        {"layers", "2,1"},
                {"activation", "leaky_relu"}, {"observation_clip", "10"},
                {"action_clip", "1"}};
  return *nn::RewardModel::FromSnapshot(s);
}

experience::Trajectory Episode(std::vector<float> observations) {
  experience::Trajectory t;
  t.steps = static_cast<int32_t>(observations.size());
  t.actions.resize(observations.size());
  t.observations = std::move(observations);
  return t;
}

TEST(PredictReturn, IsTheMeanOfTheEpisodesSumsAndOfTheirMembers) {
  std::vector<experience::Trajectory> episodes(2);
  episodes[0].steps = 2;
  episodes[0].true_rewards = {1, 2};
  episodes[1].steps = 1;
  episodes[1].true_rewards = {5};
  PredictedReturn predicted = PredictReturn(episodes, RunReward(nullptr));
  EXPECT_EQ(predicted.mean, 4);
  EXPECT_EQ(predicted.lower, 4);
  const nn::RewardModel model = Ensemble({1, 3});
  predicted = PredictReturn({Episode({1, 1}), Episode({2})}, RunReward(&model));
  EXPECT_NEAR(predicted.mean, 4, 1e-5);   // of 2 and 6
  EXPECT_NEAR(predicted.lower, 2, 1e-5);  // their deviation is 2
}

TEST(RunReward, AddsTheMembersDeviationAsOftenAsTheBonusSaysAndPredictsWithoutIt) {
  const nn::RewardModel model = Ensemble({1, 3});
  const experience::Trajectory episode = Episode({2, -1});  // members: 2 and 6, -1 and -3
  for (const double bonus : {0.0, 0.5, 1.0, -1.5}) {
    const RunReward reward(&model, 0, bonus);
    const std::vector<float> rewards = reward.Score(episode);
    ASSERT_EQ(rewards.size(), 2u);
    EXPECT_NEAR(rewards[0], 4 + 2 * bonus, 1e-5) << bonus;
    EXPECT_NEAR(rewards[1], -2 + 1 * bonus, 1e-5) << bonus;
    EXPECT_NEAR(PredictReturn({episode}, reward).mean, 2, 1e-5) << "the best is chosen without it";
    EXPECT_NEAR(PredictReturn({episode}, reward).lower, 1, 1e-5);
  }
}

TEST(BestOf, IsNotThePolicyThatPleasesASpoiltMemberAlone) {
  for (const int members : {3, 5, 7}) {
    std::vector<float> gains(members, 1), spoilt = gains;
    spoilt.back() = 10;  // of what lies outside of all that was compared
    const nn::RewardModel honest = Ensemble(gains), exploited = Ensemble(spoilt);
    const PredictedReturn good = PredictReturn({Episode({1.1f})}, RunReward(&honest));
    const PredictedReturn exploiter = PredictReturn({Episode({1})}, RunReward(&exploited));
    EXPECT_GT(exploiter.mean, good.mean);
    EXPECT_EQ(BestOf({good, exploiter}), 0u) << members;
  }
}

TEST(BestOf, IsNoPolicyThatMadeThePhysicsDiverge) {
  experience::Trajectory exploded = Episode({100, 100});
  exploded.episode_ends = {{1, experience::End::kDiverged}};
  const nn::RewardModel model = Ensemble({1});
  const RunReward reward(&model);
  const PredictedReturn bad = PredictReturn({exploded}, reward);
  EXPECT_EQ(BestOf({bad, PredictReturn({Episode({1})}, reward)}), 1u);
  EXPECT_EQ(BestOf({bad, bad}), 0u) << "a run has a result all the same";
}

TEST(BestOf, IsTheFirstOfTheGreatestAndNeverWhatIsNoNumber) {
  const auto best = [](const std::vector<double>& lower) {
    std::vector<PredictedReturn> returns;
    for (const double value : lower) returns.push_back({0, value});
    return BestOf(returns);
  };
  EXPECT_EQ(best({NAN, 1, 3, 2, 3}), 2u);
  EXPECT_EQ(best({NAN}), std::nullopt);
  EXPECT_EQ(best({}), std::nullopt);
}

}  // namespace
}  // namespace backflip::method
