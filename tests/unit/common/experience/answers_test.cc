#include "common/experience/answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

namespace backflip::experience {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

v1::Answer Choose(v1::Choice choice) {
  v1::Answer answer;
  answer.set_choice(choice);
  return answer;
}

v1::Answer Rank(const std::vector<std::vector<int>>& groups) {
  v1::Answer answer;
  answer.mutable_ranking();
  for (const std::vector<int>& positions : groups) {
    v1::RankGroup* group = answer.mutable_ranking()->add_groups();
    for (const int position : positions) group->add_positions(position);
  }
  return answer;
}

std::string Error(const v1::Answer& answer, int clips) {
  return std::string(CheckAnswer("answer", answer, clips).message());
}

std::vector<std::tuple<int, int, float>> Pairs(const v1::Answer& answer, int clips) {
  std::vector<std::tuple<int, int, float>> pairs;
  for (const PairPreference& pair : PairsOf(answer, clips)) {
    pairs.emplace_back(pair.left, pair.right, pair.left_preferred);
  }
  return pairs;
}

TEST(CheckAnswer, TakesAChoiceForAPairAndNoRanking) {
  for (const auto choice : {v1::LEFT, v1::RIGHT, v1::TIE, v1::CANNOT_TELL, v1::BROKEN}) {
    EXPECT_EQ(Error(Choose(choice), 2), "");
  }
  const std::string expected = "answer must be LEFT, RIGHT, TIE, CANNOT_TELL or BROKEN";
  EXPECT_EQ(Error({}, 2), expected);
  EXPECT_EQ(Error(Choose(v1::CHOICE_UNSPECIFIED), 2), expected);
  EXPECT_EQ(Error(Choose(static_cast<v1::Choice>(77)), 2), expected);
  EXPECT_EQ(Error(Rank({{0}, {1}}), 2), expected);
}

TEST(CheckAnswer, WantsEachOfMoreClipsRankedOnce) {
  EXPECT_EQ(Error(Rank({{2}, {0, 1}}), 3), "");
  EXPECT_EQ(Error(Choose(v1::CANNOT_TELL), 3), "");
  EXPECT_EQ(Error(Choose(v1::BROKEN), 3), "");
  EXPECT_THAT(Error(Choose(v1::LEFT), 3), HasSubstr("answer ranks 0 of 3 clips"));
  EXPECT_THAT(Error(Rank({{0}, {2}}), 3), HasSubstr("answer ranks 2 of 3 clips"));
  EXPECT_THAT(Error(Rank({{0}, {}, {1, 2}}), 3), HasSubstr("answer has an empty group"));
  EXPECT_THAT(Error(Rank({{0}, {1, 1}}), 3), HasSubstr("ranks position 1, but must rank each"));
  EXPECT_THAT(Error(Rank({{0}, {3}}), 3), HasSubstr("ranks position 3, but must rank each"));
  EXPECT_THAT(Error(Rank({{0}, {-1}}), 3), HasSubstr("ranks position -1, but must rank each"));
}

TEST(Compares, IsWhatSaysWhichIsBetterOrThatTheyAreAlike) {
  EXPECT_TRUE(Compares(Choose(v1::LEFT)));
  EXPECT_TRUE(Compares(Choose(v1::RIGHT)));
  EXPECT_TRUE(Compares(Choose(v1::TIE)));
  EXPECT_TRUE(Compares(Rank({{0, 1, 2}})));
  EXPECT_FALSE(Compares(Choose(v1::CANNOT_TELL)));
  EXPECT_FALSE(Compares(Choose(v1::BROKEN)));
  EXPECT_FALSE(Compares({}));
}

TEST(PairsOf, IsOnePairForAChoice) {
  EXPECT_THAT(Pairs(Choose(v1::LEFT), 2), ElementsAre(std::tuple(0, 1, 1.0f)));
  EXPECT_THAT(Pairs(Choose(v1::RIGHT), 2), ElementsAre(std::tuple(0, 1, 0.0f)));
  EXPECT_THAT(Pairs(Choose(v1::TIE), 2), ElementsAre(std::tuple(0, 1, 0.5f)));
  EXPECT_THAT(Pairs(Choose(v1::CANNOT_TELL), 2), IsEmpty());
}

TEST(PairsOf, ExpandsARankingWithItsTies) {
  EXPECT_THAT(Pairs(Rank({{2}, {0, 1}}), 3),
              ElementsAre(std::tuple(0, 1, 0.5f), std::tuple(0, 2, 0.0f), std::tuple(1, 2, 0.0f)));
  EXPECT_EQ(Pairs(Rank({{0}, {1}, {2}, {3}}), 4).size(), 6u);
  EXPECT_THAT(Pairs(Choose(v1::BROKEN), 3), IsEmpty());
}

TEST(Turned, IsTheAnswerToTheQuestionInReverse) {
  EXPECT_EQ(Turned(v1::LEFT), v1::RIGHT);
  EXPECT_EQ(Turned(v1::RIGHT), v1::LEFT);
  EXPECT_EQ(Turned(v1::TIE), v1::TIE);
  EXPECT_EQ(Turned(Choose(v1::LEFT), 2).choice(), v1::RIGHT);
  EXPECT_EQ(Turned(Rank({{2}, {0, 1}}), 3).SerializeAsString(),
            Rank({{0}, {2, 1}}).SerializeAsString());
}

TEST(Turned, IsItsOwnInverse) {
  for (const v1::Answer& answer :
       {Choose(v1::RIGHT), Choose(v1::BROKEN), Rank({{3, 1}, {0}, {2}}), v1::Answer()}) {
    EXPECT_EQ(Turned(Turned(answer, 4), 4).SerializeAsString(), answer.SerializeAsString());
  }
}

}  // namespace
}  // namespace backflip::experience
