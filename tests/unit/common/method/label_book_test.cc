#include "common/method/label_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace backflip::method {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

// A book that knows the clips "a" and "b".
LabelBook Book(int overlap = 1) {
  LabelBook book(overlap);
  book.AddClip("a", {{1}, {}});
  book.AddClip("b", {{2}, {}});
  return book;
}

// The label of question `ordinal`, with ids that follow from it.
LabelEntry Entry(int64_t position, int64_t ordinal, Verdict verdict = Verdict::kFirst) {
  LabelEntry entry;
  entry.position = position;
  entry.label_id = 100 + ordinal;
  entry.question_id = 1000 + ordinal;
  entry.ordinal = ordinal;
  entry.clip_ids = {"a", "b"};
  entry.verdict = verdict;
  return entry;
}

LabelEntry Retraction(int64_t position, const LabelEntry& of) {
  LabelEntry entry = of;
  entry.position = position;
  entry.label_id = 500 + position;
  entry.supersedes = of.label_id;
  entry.retraction = true;
  return entry;
}

std::vector<int64_t> Ordinals(const LabelBook& book, int64_t max_round = kAll) {
  std::vector<int64_t> ordinals;
  for (const Comparison& c : book.Comparisons(max_round, book.position())) {
    ordinals.push_back(c.ordinal);
  }
  return ordinals;
}

TEST(LabelBook, OrdersLabelsByOrdinalHoweverTheyCame) {
  LabelBook book = Book();
  for (const int64_t ordinal : {2, 0, 3, 1}) {
    ASSERT_TRUE(book.Apply(Entry(book.position() + 1, ordinal)).ok());
  }
  EXPECT_THAT(Ordinals(book), ElementsAre(0, 1, 2, 3));
}

TEST(LabelBook, TellsSidesAndTies) {
  LabelBook book = Book();
  ASSERT_TRUE(book.Apply(Entry(1, 0, Verdict::kFirst)).ok());
  ASSERT_TRUE(book.Apply(Entry(2, 1, Verdict::kSecond)).ok());
  ASSERT_TRUE(book.Apply(Entry(3, 2, Verdict::kTie)).ok());
  const std::vector<Comparison> comparisons = book.Comparisons(kAll, 3);
  ASSERT_EQ(comparisons.size(), 3);
  EXPECT_EQ(comparisons[0].first_preferred, 1.0f);
  EXPECT_EQ(comparisons[1].first_preferred, 0.0f);
  EXPECT_EQ(comparisons[2].first_preferred, 0.5f);
  EXPECT_EQ(comparisons[0].first->observations[0], 1);
  EXPECT_EQ(comparisons[0].second->observations[0], 2);
}

TEST(LabelBook, TakesAnEntryThatComesTwiceOnce) {
  LabelBook book = Book();
  ASSERT_TRUE(book.Apply(Entry(1, 0)).ok());
  ASSERT_TRUE(book.Apply(Entry(2, 1)).ok());
  ASSERT_TRUE(book.Apply(Entry(1, 0)).ok());
  EXPECT_EQ(book.position(), 2);
  EXPECT_EQ(book.Counted(kAll), 2);
  EXPECT_THAT(Ordinals(book), ElementsAre(0, 1));
}

TEST(LabelBook, RefusesAGap) {
  LabelBook book = Book();
  ASSERT_TRUE(book.Apply(Entry(1, 0)).ok());
  EXPECT_THAT(book.Apply(Entry(3, 2)).message(), HasSubstr("position 3 came after 1"));
  EXPECT_EQ(book.position(), 1);
}

TEST(LabelBook, RefusesALabelWithoutItsClips) {
  LabelBook book = Book();
  LabelEntry entry = Entry(1, 0);
  entry.clip_ids[1] = "c";
  EXPECT_THAT(book.Apply(entry).message(), HasSubstr("without its clip c"));
  EXPECT_EQ(book.position(), 0);
}

TEST(LabelBook, NeitherTrainsOnNorCountsCannotTellWhichStillIsAnAnswer) {
  LabelBook book = Book();
  book.AddQuestion(1000, 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 1);
  ASSERT_TRUE(book.Apply(Entry(1, 0, Verdict::kNothing)).ok());
  EXPECT_THAT(Ordinals(book), IsEmpty());
  EXPECT_EQ(book.Counted(kAll), 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 0);
}

TEST(LabelBook, TrainsOnSurplusAnswersWithoutCountingThem) {
  LabelBook book = Book();
  ASSERT_TRUE(book.Apply(Entry(1, 0)).ok());
  LabelEntry late = Entry(2, 0);
  late.label_id = 7;
  late.surplus = true;
  ASSERT_TRUE(book.Apply(late).ok());
  EXPECT_THAT(Ordinals(book), ElementsAre(0, 0));
  EXPECT_EQ(book.Counted(kAll), 1);
}

TEST(LabelBook, DoesNotTrainOnQuestionsThatCheckLabelers) {
  LabelBook book = Book();
  LabelEntry gold = Entry(1, 0);
  gold.purpose = Purpose::kGold;
  ASSERT_TRUE(book.Apply(gold).ok());
  EXPECT_THAT(Ordinals(book), IsEmpty());
  EXPECT_EQ(book.Counted(kAll), 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 0);
}

TEST(LabelBook, ReopensTheQuestionOfAnAnswerThatIsTakenBack) {
  LabelBook book = Book();
  ASSERT_TRUE(book.Apply(Entry(1, 0)).ok());
  ASSERT_TRUE(book.Apply(Retraction(2, Entry(1, 0))).ok());
  EXPECT_THAT(Ordinals(book), IsEmpty());
  EXPECT_EQ(book.Counted(kAll), 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 1);
}

TEST(LabelBook, PutsACorrectionInThePlaceOfTheAnswer) {
  LabelBook book = Book();
  ASSERT_TRUE(book.Apply(Entry(1, 0, Verdict::kFirst)).ok());
  LabelEntry correction = Entry(2, 0, Verdict::kSecond);
  correction.label_id = 7;
  correction.supersedes = 100;
  ASSERT_TRUE(book.Apply(correction).ok());
  const std::vector<Comparison> comparisons = book.Comparisons(kAll, 2);
  ASSERT_EQ(comparisons.size(), 1);
  EXPECT_EQ(comparisons[0].label_id, 7);
  EXPECT_EQ(comparisons[0].first_preferred, 0.0f);
  EXPECT_EQ(book.Counted(kAll), 1);
  EXPECT_EQ(book.OpenPlaces(kAll), 0);
}

TEST(LabelBook, RemembersWhatStoodAtAPosition) {
  LabelBook book = Book();
  ASSERT_TRUE(book.Apply(Entry(1, 0)).ok());
  ASSERT_TRUE(book.Apply(Entry(2, 1)).ok());
  ASSERT_TRUE(book.Apply(Retraction(3, Entry(1, 0))).ok());
  EXPECT_EQ(book.Comparisons(kAll, 1).size(), 1);
  EXPECT_EQ(book.Comparisons(kAll, 2).size(), 2);
  const std::vector<Comparison> now = book.Comparisons(kAll, 3);
  ASSERT_EQ(now.size(), 1);
  EXPECT_EQ(now[0].ordinal, 1);
}

TEST(LabelBook, LeavesLaterRoundsOut) {
  LabelBook book = Book();
  LabelEntry later = Entry(1, 5);
  later.round = 3;
  ASSERT_TRUE(book.Apply(later).ok());
  ASSERT_TRUE(book.Apply(Entry(2, 0)).ok());
  book.AddQuestion(2000, 3);
  EXPECT_THAT(Ordinals(book, 2), ElementsAre(0));
  EXPECT_EQ(book.Counted(2), 1);
  EXPECT_EQ(book.OpenPlaces(2), 0);
  EXPECT_EQ(book.OpenPlaces(3), 1);
}

TEST(LabelBook, WaitsForEveryAnswerThatAQuestionWants) {
  LabelBook book = Book(/*overlap=*/2);
  book.AddQuestion(1000, 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 2);
  ASSERT_TRUE(book.Apply(Entry(1, 0)).ok());
  EXPECT_EQ(book.OpenPlaces(kAll), 1);
  LabelEntry second = Entry(2, 0);
  second.label_id = 7;
  ASSERT_TRUE(book.Apply(second).ok());
  EXPECT_EQ(book.OpenPlaces(kAll), 0);
  EXPECT_EQ(book.Counted(kAll), 2);
}

TEST(LabelBook, WaitsForAsManyAnswersAsEachQuestionWants) {
  LabelBook book = Book();
  book.AddQuestion(1000, 0, 2);
  book.AddQuestion(1001, 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 3);
  // where answers disagree the broker wants more
  LabelEntry entry = Entry(1, 0);
  entry.overlap = 4;
  ASSERT_TRUE(book.Apply(entry).ok());
  EXPECT_EQ(book.OpenPlaces(kAll), 4);
}

TEST(LabelBook, TellsWhoGaveALabel) {
  LabelBook book = Book();
  LabelEntry entry = Entry(1, 0);
  entry.labeler = 3;
  ASSERT_TRUE(book.Apply(entry).ok());
  EXPECT_EQ(book.Comparisons(kAll, 1)[0].labeler, 3);
}

TEST(LabelBook, ExpandsARankingIntoItsPairsWithTies) {
  LabelBook book = Book();
  book.AddClip("c", {{3}, {}});
  LabelEntry entry = Entry(1, 0, Verdict::kNothing);
  entry.clip_ids = {"a", "b", "c"};
  entry.ranking = {{2}, {0, 1}};  // c, then a and b alike
  ASSERT_TRUE(book.Apply(entry).ok());
  const std::vector<Comparison> comparisons = book.Comparisons(kAll, 1);
  ASSERT_EQ(comparisons.size(), 3);
  const auto expect = [&](int i, float first, float second, float preferred) {
    EXPECT_EQ(comparisons[i].first->observations[0], first);
    EXPECT_EQ(comparisons[i].second->observations[0], second);
    EXPECT_EQ(comparisons[i].first_preferred, preferred);
  };
  expect(0, 1, 2, 0.5f);
  expect(1, 1, 3, 0.0f);
  expect(2, 2, 3, 0.0f);
  EXPECT_EQ(book.Counted(kAll), 1);
}

TEST(LabelBook, RefusesARankingOfOtherClipsThanTheQuestions) {
  LabelBook book = Book();
  LabelEntry entry = Entry(1, 0, Verdict::kNothing);
  for (const auto& ranking :
       std::vector<std::vector<std::vector<int>>>{{{0}, {2}}, {{0}, {0, 1}}, {{1}}, {{-1}, {0}}}) {
    entry.ranking = ranking;
    EXPECT_THAT(book.Apply(entry).message(), HasSubstr("ranks"));
  }
  EXPECT_EQ(book.position(), 0);
}

TEST(LabelBook, ScoresLabelersOnPairsWithAKnownAnswer) {
  LabelBook book = Book();
  const auto gold = [&](int labeler, Verdict verdict) {
    LabelEntry entry = Entry(book.position() + 1, 0, verdict);
    entry.label_id = 700 + entry.position;
    entry.purpose = Purpose::kGold;
    entry.expected = Verdict::kFirst;
    entry.labeler = labeler;
    return entry;
  };
  ASSERT_TRUE(book.Apply(gold(1, Verdict::kFirst)).ok());
  ASSERT_TRUE(book.Apply(gold(1, Verdict::kSecond)).ok());
  ASSERT_TRUE(book.Apply(gold(1, Verdict::kNothing)).ok());  // cannot tell
  ASSERT_TRUE(book.Apply(gold(2, Verdict::kTie)).ok());
  LabelEntry takes_back = gold(1, Verdict::kFirst);
  takes_back.retraction = true;
  takes_back.supersedes = 702;
  ASSERT_TRUE(book.Apply(takes_back).ok());
  EXPECT_EQ(book.Gold(2)[1].wrong, 1);
  auto scores = book.Gold(book.position());
  EXPECT_EQ(scores[1].right, 1);
  EXPECT_EQ(scores[1].wrong, 0);
  EXPECT_EQ(scores[2].right, 0);
  EXPECT_EQ(scores[2].wrong, 1);
}

TEST(LabelBook, ListsClipsOfEarlierPoliciesThatWereCompared) {
  LabelBook book(1);
  book.AddClip("old", {{1}, {}}, 2);
  book.AddClip("older", {{2}, {}}, 1);
  book.AddClip("new", {{2}, {}}, 7);
  LabelEntry entry = Entry(1, 0);
  entry.clip_ids = {"old", "new"};
  ASSERT_TRUE(book.Apply(entry).ok());
  entry = Entry(2, 1);
  entry.clip_ids = {"older", "new"};
  entry.round = 1;
  ASSERT_TRUE(book.Apply(entry).ok());
  EXPECT_THAT(book.ComparedClips(kAll, 6), ElementsAre("older", "old"));
  EXPECT_THAT(book.ComparedClips(0, 6), ElementsAre("old"));
  EXPECT_THAT(book.ComparedClips(kAll, 7), ElementsAre("older", "old", "new"));
}

}  // namespace
}  // namespace backflip::method
