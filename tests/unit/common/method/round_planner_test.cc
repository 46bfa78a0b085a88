#include "common/method/round_planner.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/options/run_spec.h"

namespace backflip::method {
namespace {

TEST(LabelsToAsk, IsWhatIsMissing) {
  EXPECT_EQ(LabelsToAsk(30, 20, 4), 6);
  EXPECT_EQ(LabelsToAsk(30, 30, 0), 0);
  EXPECT_EQ(LabelsToAsk(30, 20, 11), 0);
}

TEST(LabelsToAskPeople, KeepsAFewReadyAheadOfTheSchedule) {
  // the schedule has what it wants: as many as the buffer are open all the same
  EXPECT_EQ(LabelsToAskPeople(30, 100, 30, 0, 1), kBuffer);
  EXPECT_EQ(LabelsToAskPeople(30, 100, 30, 10, 1), kBuffer - 10);
  // and no more than that ahead of it
  EXPECT_EQ(LabelsToAskPeople(30, 100, 30 + kBuffer, 0, 1), 0);
  EXPECT_EQ(LabelsToAskPeople(30, 100, 40, 0, 1), kBuffer - 10);
}

TEST(LabelsToAskPeople, OpensNoMoreThanLabelersWillSoonComeTo) {
  EXPECT_EQ(LabelsToAskPeople(500, 1000, 0, 0, 0), kBuffer);
  EXPECT_EQ(LabelsToAskPeople(500, 1000, 0, 0, 100), 100 * kOpenPerLabeler);
  EXPECT_EQ(LabelsToAskPeople(500, 1000, 0, 450, 100), 0);
}

TEST(LabelsToAskPeople, KeepsToTheBudget) {
  EXPECT_EQ(LabelsToAskPeople(95, 100, 95, 0, 1), 5);
  EXPECT_EQ(LabelsToAskPeople(100, 100, 96, 4, 1), 0);
}

TEST(PlanRound, AsksForOneAnswerToEachQuestionByDefault) {
  const auto questions = PlanRound(options::DefaultRunSpec(), 3, 25);
  EXPECT_EQ(questions.size(), 25u);
  for (const PlannedQuestion& question : questions) {
    EXPECT_EQ(question.overlap, 1);
    EXPECT_FALSE(question.progress);
  }
}

TEST(PlanRound, CountsEveryAnswerThatAQuestionWants) {
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.mutable_queries()->set_overlap(3);
  EXPECT_EQ(PlanRound(spec, 0, 9).size(), 3u);
  EXPECT_EQ(PlanRound(spec, 0, 10).size(), 4u);
}

TEST(PlanRound, DrawsSharesByPlaceWhateverIsMissing) {
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.mutable_queries()->set_overlap(2);
  spec.mutable_queries()->set_overlap_share(0.3);
  spec.mutable_queries()->set_progress_share(0.1);
  const auto many = PlanRound(spec, 5, 2000), few = PlanRound(spec, 5, 100);
  const auto doubled = std::count_if(many.begin(), many.end(),
                                     [](const PlannedQuestion& q) { return q.overlap == 2; });
  const auto progress =
      std::count_if(many.begin(), many.end(), [](const PlannedQuestion& q) { return q.progress; });
  EXPECT_NEAR(static_cast<double>(doubled) / many.size(), 0.3, 0.05);
  EXPECT_NEAR(static_cast<double>(progress) / many.size(), 0.1, 0.03);
  ASSERT_LT(few.size(), many.size());
  for (size_t i = 0; i < few.size(); ++i) {
    EXPECT_EQ(few[i].overlap, many[i].overlap);
    EXPECT_EQ(few[i].progress, many[i].progress);
  }
}

TEST(WinnerQuestions, AreTheShareThatIsAskedForOverManyRounds) {
  v1::RunSpec spec;
  spec.set_seed(7);
  spec.mutable_queries()->set_winners_share(0.5);
  spec.mutable_queries()->set_clips_per_question(2);
  int sum = 0;
  for (int round = 0; round < 1000; ++round) sum += WinnerQuestions(spec, round, 3);
  EXPECT_NEAR(sum, 1500, 100);
  EXPECT_EQ(WinnerQuestions(spec, 4, 3), WinnerQuestions(spec, 4, 3));
  EXPECT_LE(WinnerQuestions(spec, 4, 1), 1);
  spec.mutable_queries()->set_clips_per_question(3);
  EXPECT_EQ(WinnerQuestions(spec, 4, 100), 0) << "rankings";
}

}  // namespace
}  // namespace backflip::method
