#include "services/reward_trainer/label_book.h"

#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backflip::reward_trainer {
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
  gold.train = false;
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

}  // namespace
}  // namespace backflip::reward_trainer
