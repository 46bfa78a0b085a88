#include "common/learn/selectors/selector.h"

#include <cmath>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "common/learn/random.h"
#include "common/learn/selectors/uniform.h"
#include "common/options/run_spec.h"
#include "gtest/gtest.h"

namespace backflip::learn {
namespace {

std::unique_ptr<RewardEnsemble> Ensemble() {
  return *RewardEnsemble::Create(options::DefaultRunSpec().reward_model(), false, 1, 2, 1);
}

std::vector<SelectedPair> SelectUniformly(int candidates, int wanted, uint64_t seed,
                                          uint64_t round) {
  return *UniformSelector().Select(Selector::Candidates(candidates), wanted, seed, round);
}

// Of 20 steps. The first `same` are all the same clip: nothing to disagree about.
std::vector<experience::ClipPointer> Candidates(int count, int same, uint64_t seed) {
  std::vector<experience::ClipPointer> candidates;
  KeyedRandom random(seed, seed);
  for (int i = 0; i < count; ++i) {
    auto clip = std::make_shared<experience::Clip>();
    clip->steps = 20;
    const float size = i < same ? 0 : 5;
    for (int t = 0; t < 20; ++t) {
      clip->observations.push_back(static_cast<float>(size * (random.Uniform() - 0.5)));
      clip->observations.push_back(0);
      clip->actions.push_back(0);
    }
    clip->observations.resize(21 * 2);
    candidates.push_back(std::move(clip));
  }
  return candidates;
}

TEST(SelectUniformly, NeverRepeatsAPairOrPairsAClipWithItself) {
  const auto pairs = SelectUniformly(5, 10, 1, 1);
  ASSERT_EQ(pairs.size(), 10u);
  std::set<std::pair<int, int>> seen;
  for (const SelectedPair& pair : pairs) {
    EXPECT_NE(pair.left, pair.right);
    EXPECT_TRUE(seen.insert(std::minmax(pair.left, pair.right)).second);
  }
}

TEST(SelectUniformly, GivesWhatThereIsAndNothingOfOneClip) {
  EXPECT_EQ(SelectUniformly(3, 100, 1, 1).size(), 3u);
  EXPECT_TRUE(SelectUniformly(1, 4, 1, 1).empty());
}

TEST(SelectUniformly, DrawsByRound) {
  const auto first = SelectUniformly(100, 5, 1, 1);
  const auto again = SelectUniformly(100, 5, 1, 1);
  const auto next = SelectUniformly(100, 5, 1, 2);
  EXPECT_EQ(first[0].left, again[0].left);
  EXPECT_NE(std::make_pair(first[0].left, first[0].right),
            std::make_pair(next[0].left, next[0].right));
}

TEST(Selector, IsWhatTheRunAsksForOnceTheEnsembleIsTrained) {
  v1::Queries queries = options::DefaultRunSpec().queries();
  const auto ensemble = Ensemble();
  EXPECT_EQ(MakeSelector(queries, ensemble.get())->name(), "disagreement");
  EXPECT_EQ(MakeSelector(queries, nullptr)->name(), "random");
  queries.set_selector(v1::RANDOM);
  EXPECT_EQ(MakeSelector(queries, ensemble.get())->name(), "random");
  queries.set_selector(v1::ENTROPY);
  EXPECT_EQ(MakeSelector(queries, ensemble.get())->name(), "entropy");
}

TEST(SelectByEntropy, PrefersPairsThatAreNearlyEven) {
  const auto ensemble = Ensemble();
  v1::Queries queries = options::DefaultRunSpec().queries();
  queries.set_selector(v1::ENTROPY);
  // of two clips that are the same every member's preference is one half
  const auto pairs = MakeSelector(queries, ensemble.get())->Select(Candidates(30, 15, 3), 5, 1, 1);
  ASSERT_TRUE(pairs.ok()) << pairs.status();
  ASSERT_EQ(pairs->size(), 5u);
  for (const SelectedPair& pair : *pairs) {
    EXPECT_TRUE(pair.left < 15 && pair.right < 15);
    EXPECT_NEAR(pair.score, std::log(2.0), 1e-3);
  }
}

TEST(SelectByDisagreement, PrefersPairsTheMembersDisagreeAbout) {
  const auto ensemble = Ensemble();
  const auto selector = MakeSelector(options::DefaultRunSpec().queries(), ensemble.get());
  const auto pairs = selector->Select(Candidates(30, 15, 3), 5, 1, 1);
  ASSERT_TRUE(pairs.ok()) << pairs.status();
  ASSERT_EQ(pairs->size(), 5u);
  for (size_t i = 0; i < pairs->size(); ++i) {
    const SelectedPair& pair = (*pairs)[i];
    EXPECT_TRUE(pair.left >= 15 || pair.right >= 15);
    if (i > 0) {
      EXPECT_LE(pair.score, (*pairs)[i - 1].score);
    }
  }
}

TEST(CompleteToRankings, KeepsThePairAndAddsClipsThatAreDisputed) {
  const auto ensemble = Ensemble();
  const v1::Queries queries = options::DefaultRunSpec().queries();
  const auto candidates = Candidates(40, 20, 4);
  const std::vector<SelectedPair> pairs = {{0, 25, 0.1}, {30, 1, 0.2}};
  for (const RewardEnsemble* judge : {ensemble.get(), static_cast<RewardEnsemble*>(nullptr)}) {
    const auto rankings = MakeSelector(queries, judge)->Complete(candidates, pairs, 5, 1, 1);
    ASSERT_TRUE(rankings.ok()) << rankings.status();
    ASSERT_EQ(rankings->size(), 2u);
    int disputed = 0;
    for (size_t i = 0; i < 2; ++i) {
      const std::vector<int>& ranking = (*rankings)[i];
      EXPECT_EQ(ranking[0], pairs[i].left);
      EXPECT_EQ(ranking[1], pairs[i].right);
      EXPECT_EQ(std::set<int>(ranking.begin(), ranking.end()).size(), 5u);
      for (const int clip : ranking) disputed += clip >= 20;
    }
    // of the pairs two, and of six others more than chance gives
    if (judge != nullptr) {
      EXPECT_GE(disputed, 2 + 5);
    }
  }
  // pairs stay what they are, and there are no more clips than candidates
  const UniformSelector any;
  EXPECT_EQ((*any.Complete(candidates, pairs, 2, 1, 1))[0].size(), 2u);
  EXPECT_EQ((*any.Complete({candidates[0], candidates[1]}, {{0, 1, 0}}, 5, 1, 1))[0].size(), 2u);
}

}  // namespace
}  // namespace backflip::learn
