#include "common/method/winners.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace backflip::method {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(PairWinners, PairsClipsThatWonAsOftenTheNewestFirst) {
  const std::vector<PlayedPair<int>> played = {
      {0, 1, 1}, {2, 3, -1}, {4, 5, 0.5}, {6, 7, 1}, {8, 9, 1}};
  EXPECT_THAT(PairWinners(played, 5), ElementsAre(Pair(8, 6), Pair(4, 3)));
  EXPECT_THAT(PairWinners(played, 1), ElementsAre(Pair(8, 6)));
  EXPECT_THAT(PairWinners(played, 0), IsEmpty());
}

TEST(PairWinners, AsksFirstAboutThoseThatWonMost) {
  // 0 and 4 won twice; 8 and 9 once
  const std::vector<PlayedPair<int>> played = {{0, 1, 1}, {2, 3, 1}, {0, 2, 1},  {4, 5, 1},
                                               {6, 7, 1}, {4, 6, 1}, {8, 10, 1}, {9, 11, 1}};
  EXPECT_THAT(PairWinners(played, 5), ElementsAre(Pair(4, 0), Pair(9, 8)));
}

TEST(PairWinners, LeavesOutWhoLostOrWasAlikeOrIsAskedAboutNow) {
  const std::vector<PlayedPair<int>> played = {{0, 1, 1},
                                               {2, 3, 1},
                                               {4, 5, 1},
                                               {0, 6, -1},  // 0 lost since
                                               {2, 7, 0}};  // 2 is alike, or not answered yet
  // 4 and 6 alone won all
  EXPECT_THAT(PairWinners(played, 5), ElementsAre(Pair(6, 4)));
}

TEST(PairWinners, FindsTheBestOfManyClipsInAsManyQuestionsAsATournament) {
  // 64 clips, of which a greater number is better
  std::vector<PlayedPair<int>> played;
  for (int clip = 0; clip < 64; clip += 2) played.push_back({clip, clip + 1, -1});
  while (true) {
    const auto pairs = PairWinners(played, 3);
    if (pairs.empty()) break;
    for (const auto& [left, right] : pairs) {
      played.push_back({left, right, left > right ? 1.0 : -1.0});
    }
  }
  EXPECT_EQ(played.size(), 63);
  EXPECT_EQ(std::max(played.back().left, played.back().right), 63);
  std::set<std::pair<int, int>> met;
  for (const PlayedPair<int>& pair : played) {
    EXPECT_TRUE(met.insert(std::minmax(pair.left, pair.right)).second) << "asked twice";
  }
}

}  // namespace
}  // namespace backflip::method
