#include "common/learn/selectors/selector.h"

#include <set>
#include <utility>

#include "common/learn/random.h"
#include "gtest/gtest.h"

namespace backflip::learn {
namespace {

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

TEST(SelectByDisagreement, PrefersPairsTheMembersDisagreeAbout) {
  auto ensemble = RewardEnsemble::Create({}, 2, 1);
  ASSERT_TRUE(ensemble.ok());
  std::vector<Clip> clips(30);
  std::vector<const Clip*> candidates;
  KeyedRandom random(3, 3);
  for (size_t i = 0; i < clips.size(); ++i) {
    // the first half are all the same clip: nothing to disagree about
    const float size = i < 15 ? 0 : 5;
    for (int t = 0; t < 20; ++t) {
      clips[i].observations.push_back(static_cast<float>(size * (random.Uniform() - 0.5)));
      clips[i].observations.push_back(0);
      clips[i].actions.push_back(0);
    }
    candidates.push_back(&clips[i]);
  }
  const auto pairs = SelectByDisagreement(**ensemble, candidates, 5, 10, 1, 1);
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
  auto ensemble = RewardEnsemble::Create({}, 2, 1);
  ASSERT_TRUE(ensemble.ok());
  std::vector<Clip> clips(40);
  std::vector<const Clip*> candidates;
  KeyedRandom random(4, 4);
  for (size_t i = 0; i < clips.size(); ++i) {
    const float size = i < 20 ? 0 : 5;  // the first half are all the same clip
    for (int t = 0; t < 20; ++t) {
      clips[i].observations.push_back(static_cast<float>(size * (random.Uniform() - 0.5)));
      clips[i].observations.push_back(0);
      clips[i].actions.push_back(0);
    }
    candidates.push_back(&clips[i]);
  }
  const std::vector<SelectedPair> pairs = {{0, 25, 0.1}, {30, 1, 0.2}};
  for (RewardEnsemble* judge : {ensemble->get(), static_cast<RewardEnsemble*>(nullptr)}) {
    const auto rankings = CompleteToRankings(judge, candidates, pairs, 5, 1, 1);
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
  EXPECT_EQ((*CompleteToRankings(nullptr, candidates, pairs, 2, 1, 1))[0].size(), 2u);
  EXPECT_EQ((*CompleteToRankings(nullptr, {candidates[0], candidates[1]}, {{0, 1, 0}}, 5, 1, 1))[0]
                .size(),
            2u);
}

}  // namespace
}  // namespace backflip::learn
