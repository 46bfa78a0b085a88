#include "common/method/label_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace backflip::method {
namespace {

using experience::Comparison;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

experience::Clip ClipOf(float observation) { return {.observations = {observation}}; }

// A book that knows the clips "a" and "b".
LabelBook Book(int overlap = 1) {
  LabelBook book(overlap);
  book.AddClip("a", ClipOf(1));
  book.AddClip("b", ClipOf(2));
  return book;
}

// The label of question `ordinal`, with ids that follow from it.
v1::LabelEntry Entry(int64_t position, int64_t ordinal, v1::Choice choice = v1::LEFT) {
  v1::LabelEntry entry;
  entry.set_position(position);
  entry.set_label_id(100 + ordinal);
  entry.set_question_id(1000 + ordinal);
  entry.set_ordinal(ordinal);
  entry.set_purpose(v1::TRAIN);
  entry.add_clip_ids("a");
  entry.add_clip_ids("b");
  entry.mutable_answer()->set_choice(choice);
  return entry;
}

v1::LabelEntry Retraction(int64_t position, const v1::LabelEntry& of) {
  v1::LabelEntry entry = of;
  entry.set_position(position);
  entry.set_label_id(500 + position);
  entry.set_supersedes(of.label_id());
  entry.set_retraction(true);
  return entry;
}

// The question `ordinal`, as it is opened.
v1::OpenedQuestion Opened(int64_t ordinal, int overlap = 0) {
  v1::OpenedQuestion question;
  question.set_question_id(1000 + ordinal);
  question.set_ordinal(ordinal);
  question.add_clip_ids("a");
  question.add_clip_ids("b");
  question.set_overlap(overlap);
  return question;
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
  ASSERT_TRUE(book.Apply(Entry(1, 0, v1::LEFT)).ok());
  ASSERT_TRUE(book.Apply(Entry(2, 1, v1::RIGHT)).ok());
  ASSERT_TRUE(book.Apply(Entry(3, 2, v1::TIE)).ok());
  const std::vector<Comparison> comparisons = book.Comparisons(kAll, 3);
  ASSERT_EQ(comparisons.size(), 3);
  EXPECT_EQ(comparisons[0].left_preferred, 1.0f);
  EXPECT_EQ(comparisons[1].left_preferred, 0.0f);
  EXPECT_EQ(comparisons[2].left_preferred, 0.5f);
  EXPECT_EQ(comparisons[0].left->observations[0], 1);
  EXPECT_EQ(comparisons[0].right->observations[0], 2);
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
  v1::LabelEntry entry = Entry(1, 0);
  entry.set_clip_ids(1, "c");
  EXPECT_THAT(book.Apply(entry).message(), HasSubstr("without its clip c"));
  EXPECT_EQ(book.position(), 0);
}

TEST(LabelBook, NeitherTrainsOnNorCountsCannotTellWhichStillIsAnAnswer) {
  LabelBook book = Book();
  book.AddQuestion(Opened(0), 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 1);
  ASSERT_TRUE(book.Apply(Entry(1, 0, v1::CANNOT_TELL)).ok());
  EXPECT_THAT(Ordinals(book), IsEmpty());
  EXPECT_EQ(book.Counted(kAll), 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 0);
}

TEST(LabelBook, TrainsOnSurplusAnswersWithoutCountingThem) {
  LabelBook book = Book();
  ASSERT_TRUE(book.Apply(Entry(1, 0)).ok());
  v1::LabelEntry late = Entry(2, 0);
  late.set_label_id(7);
  late.set_surplus(true);
  ASSERT_TRUE(book.Apply(late).ok());
  EXPECT_THAT(Ordinals(book), ElementsAre(0, 0));
  EXPECT_EQ(book.Counted(kAll), 1);
}

TEST(LabelBook, DoesNotTrainOnQuestionsThatCheckLabelers) {
  LabelBook book = Book();
  v1::LabelEntry gold = Entry(1, 0);
  gold.set_purpose(v1::GOLD);
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
  ASSERT_TRUE(book.Apply(Entry(1, 0, v1::LEFT)).ok());
  v1::LabelEntry correction = Entry(2, 0, v1::RIGHT);
  correction.set_label_id(7);
  correction.set_supersedes(100);
  ASSERT_TRUE(book.Apply(correction).ok());
  const std::vector<Comparison> comparisons = book.Comparisons(kAll, 2);
  ASSERT_EQ(comparisons.size(), 1);
  EXPECT_EQ(comparisons[0].label_id, 7);
  EXPECT_EQ(comparisons[0].left_preferred, 0.0f);
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
  v1::LabelEntry later = Entry(1, 5);
  later.set_round(3);
  ASSERT_TRUE(book.Apply(later).ok());
  ASSERT_TRUE(book.Apply(Entry(2, 0)).ok());
  book.AddQuestion(Opened(1000), 3);
  EXPECT_THAT(Ordinals(book, 2), ElementsAre(0));
  EXPECT_EQ(book.Counted(2), 1);
  EXPECT_EQ(book.OpenPlaces(2), 0);
  EXPECT_EQ(book.OpenPlaces(3), 1);
}

TEST(LabelBook, WaitsForEveryAnswerThatAQuestionWants) {
  LabelBook book = Book(/*overlap=*/2);
  book.AddQuestion(Opened(0), 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 2);
  ASSERT_TRUE(book.Apply(Entry(1, 0)).ok());
  EXPECT_EQ(book.OpenPlaces(kAll), 1);
  v1::LabelEntry second = Entry(2, 0);
  second.set_label_id(7);
  ASSERT_TRUE(book.Apply(second).ok());
  EXPECT_EQ(book.OpenPlaces(kAll), 0);
  EXPECT_EQ(book.Counted(kAll), 2);
}

TEST(LabelBook, WaitsForAsManyAnswersAsEachQuestionWants) {
  LabelBook book = Book();
  book.AddQuestion(Opened(0, 2), 0);
  book.AddQuestion(Opened(1), 0);
  EXPECT_EQ(book.OpenPlaces(kAll), 3);
  // where answers disagree the broker wants more
  v1::LabelEntry entry = Entry(1, 0);
  entry.set_overlap(4);
  ASSERT_TRUE(book.Apply(entry).ok());
  EXPECT_EQ(book.OpenPlaces(kAll), 4);
}

// Of clips a to d: a won against b, c against d.
LabelBook TwoWinners() {
  LabelBook book = Book();
  book.AddClip("c", ClipOf(3));
  book.AddClip("d", ClipOf(4));
  EXPECT_TRUE(book.Apply(Entry(1, 0, v1::LEFT)).ok());
  v1::LabelEntry other = Entry(2, 1, v1::LEFT);
  other.set_clip_ids(0, "c");
  other.set_clip_ids(1, "d");
  EXPECT_TRUE(book.Apply(other).ok());
  return book;
}

TEST(LabelBook, PairsWinnersThatAreInNoOpenQuestion) {
  LabelBook book = TwoWinners();
  EXPECT_THAT(book.WinnerPairs(kAll, 5), ElementsAre(Pair("c", "a")));
  EXPECT_THAT(book.WinnerPairs(-1, 5), IsEmpty()) << "of later rounds";
  v1::OpenedQuestion open = Opened(2);
  open.set_clip_ids(1, "c");
  book.AddQuestion(open, 0);
  EXPECT_THAT(book.WinnerPairs(kAll, 5), IsEmpty());
}

TEST(LabelBook, PairsNoWinnersWhoseAnswerWasTakenBackOrOutweighed) {
  LabelBook book = TwoWinners();
  v1::LabelEntry second = Entry(3, 1, v1::RIGHT);  // of c and d, too
  second.set_label_id(7);
  second.set_clip_ids(0, "c");
  second.set_clip_ids(1, "d");
  second.set_surplus(true);
  ASSERT_TRUE(book.Apply(second).ok());
  EXPECT_THAT(book.WinnerPairs(kAll, 5), IsEmpty()) << "one answer for each";

  LabelBook retracted = TwoWinners();
  ASSERT_TRUE(retracted.Apply(Retraction(3, Entry(1, 0))).ok());
  EXPECT_THAT(retracted.WinnerPairs(kAll, 5), IsEmpty());
}

TEST(LabelBook, TellsWhoGaveALabel) {
  LabelBook book = Book();
  v1::LabelEntry entry = Entry(1, 0);
  entry.set_labeler(3);
  ASSERT_TRUE(book.Apply(entry).ok());
  EXPECT_EQ(book.Comparisons(kAll, 1)[0].labeler, 3);
}

void SetRanking(const std::vector<std::vector<int>>& groups, v1::LabelEntry* entry) {
  v1::Ranking* ranking = entry->mutable_answer()->mutable_ranking();
  ranking->clear_groups();
  for (const std::vector<int>& group : groups) {
    ranking->add_groups()->mutable_positions()->Add(group.begin(), group.end());
  }
}

TEST(LabelBook, ExpandsARankingIntoItsPairsWithTies) {
  LabelBook book = Book();
  book.AddClip("c", ClipOf(3));
  v1::LabelEntry entry = Entry(1, 0, v1::CANNOT_TELL);
  entry.add_clip_ids("c");
  SetRanking({{2}, {0, 1}}, &entry);  // c, then a and b alike
  ASSERT_TRUE(book.Apply(entry).ok());
  const std::vector<Comparison> comparisons = book.Comparisons(kAll, 1);
  ASSERT_EQ(comparisons.size(), 3);
  const auto expect = [&](int i, float first, float second, float preferred) {
    EXPECT_EQ(comparisons[i].left->observations[0], first);
    EXPECT_EQ(comparisons[i].right->observations[0], second);
    EXPECT_EQ(comparisons[i].left_preferred, preferred);
    EXPECT_FLOAT_EQ(comparisons[i].weight, 2.0f / 3);  // three of them are worth two answers
  };
  expect(0, 1, 2, 0.5f);
  expect(1, 1, 3, 0.0f);
  expect(2, 2, 3, 0.0f);
  EXPECT_EQ(book.Counted(kAll), 1);
}

TEST(LabelBook, RefusesARankingOfOtherClipsThanTheQuestions) {
  LabelBook book = Book();
  book.AddClip("c", ClipOf(3));
  v1::LabelEntry entry = Entry(1, 0);
  entry.add_clip_ids("c");
  for (const auto& ranking :
       std::vector<std::vector<std::vector<int>>>{{{0}, {3}}, {{0}, {0, 1}}, {{1}}, {{-1}, {0}}}) {
    SetRanking(ranking, &entry);
    EXPECT_THAT(book.Apply(entry).message(), HasSubstr("ranks"));
  }
  EXPECT_EQ(book.position(), 0);
}

TEST(LabelBook, ScoresLabelersOnPairsWithAKnownAnswer) {
  LabelBook book = Book();
  const auto gold = [&](int labeler, v1::Choice choice) {
    v1::LabelEntry entry = Entry(book.position() + 1, 0, choice);
    entry.set_label_id(700 + entry.position());
    entry.set_purpose(v1::GOLD);
    entry.mutable_expected()->set_choice(v1::LEFT);
    entry.set_labeler(labeler);
    return entry;
  };
  ASSERT_TRUE(book.Apply(gold(1, v1::LEFT)).ok());
  ASSERT_TRUE(book.Apply(gold(1, v1::RIGHT)).ok());
  ASSERT_TRUE(book.Apply(gold(1, v1::CANNOT_TELL)).ok());  // cannot tell
  ASSERT_TRUE(book.Apply(gold(2, v1::TIE)).ok());
  v1::LabelEntry takes_back = gold(1, v1::LEFT);
  takes_back.set_retraction(true);
  takes_back.set_supersedes(702);
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
  book.AddClip("old", ClipOf(1), 2);
  book.AddClip("older", ClipOf(2), 1);
  book.AddClip("new", ClipOf(2), 7);
  v1::LabelEntry entry = Entry(1, 0);
  entry.set_clip_ids(0, "old");
  entry.set_clip_ids(1, "new");
  ASSERT_TRUE(book.Apply(entry).ok());
  entry = Entry(2, 1);
  entry.set_clip_ids(0, "older");
  entry.set_clip_ids(1, "new");
  entry.set_round(1);
  ASSERT_TRUE(book.Apply(entry).ok());
  EXPECT_THAT(book.ComparedClips(kAll, 6), ElementsAre("older", "old"));
  EXPECT_THAT(book.ComparedClips(0, 6), ElementsAre("old"));
  EXPECT_THAT(book.ComparedClips(kAll, 7), ElementsAre("older", "old", "new"));
}

}  // namespace
}  // namespace backflip::method
