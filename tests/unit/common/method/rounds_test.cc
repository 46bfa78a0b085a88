#include "common/method/rounds.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "common/learn/selectors/selector.h"
#include "common/method/pace.h"
#include "common/options/run_spec.h"

namespace backflip::method {
namespace {

v1::RunSpec SpecOf(int64_t round_steps) {
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.set_labels(100);
  spec.set_steps(10'000);
  spec.mutable_collection()->set_batch_steps(1000);
  spec.mutable_queries()->set_round_steps(round_steps);
  spec.mutable_queries()->set_initial_share(0.01);
  spec.mutable_queries()->set_asked_by(1);
  return spec;
}

experience::ClipPointer SomeClip() {
  auto clip = std::make_shared<experience::Clip>();
  clip->steps = 1;
  clip->observations = {0, 0};
  clip->actions = {0};
  return clip;
}

TEST(InitialBatches, HaveAsManyClipsAsTheFirstQuestionsAreToBeAbout) {
  for (const double initial_share : {0.25, 0.5}) {
    v1::RunSpec spec = options::DefaultRunSpec();
    spec.mutable_queries()->set_initial_share(initial_share);
    const int64_t clips = InitialBatches(spec) * spec.collection().clips_per_batch();
    const int64_t questions = LabelsWantedIn(spec, FirstRound(spec));
    EXPECT_GE(clips, 2 * questions);
    EXPECT_LE(clips, 2 * questions + spec.collection().clips_per_batch());
    const auto pairs =
        learn::MakeSelector(spec.queries(), nullptr)
            ->Select(learn::Selector::Candidates(clips, SomeClip()), questions, 1, 0);
    ASSERT_TRUE(pairs.ok()) << pairs.status();
    std::set<int> asked_about;
    for (const learn::SelectedPair& pair : *pairs) asked_about.insert({pair.left, pair.right});
    EXPECT_GE(asked_about.size(), 1.5 * questions);
  }
}

TEST(InitialBatches, AreOfTheFirstLabelsWherePeopleAnswer) {
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.set_lockstep(false);
  spec.mutable_collection()->set_clips_per_batch(32);
  ASSERT_EQ(spec.queries().first_labels(), 30);
  EXPECT_EQ(InitialBatches(spec), 2);
  EXPECT_FALSE(LearnsFrom(spec, 0));
  EXPECT_TRUE(LearnsFrom(spec, 1));  // once the first ensemble is there
}

TEST(InitialBatches, AreNoMoreThanAQuarterOfTheRunNorThanThePoolHolds) {
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.mutable_queries()->set_initial_share(1);
  spec.mutable_collection()->set_clips_per_batch(64);
  EXPECT_EQ(InitialBatches(spec), 1024 / 64);
  spec.set_steps(12 * 8192);
  EXPECT_EQ(InitialBatches(spec), 3);
  spec.set_steps(8192);
  EXPECT_EQ(InitialBatches(spec), 1);
}

TEST(Rounds, BeginAfterTheInitialBatches) {
  v1::RunSpec spec = SpecOf(0);
  spec.mutable_queries()->set_initial_share(0.25);
  spec.mutable_collection()->set_clips_per_batch(40);
  ASSERT_EQ(InitialBatches(spec), 2);
  EXPECT_EQ(FirstRound(spec), 1);
  EXPECT_EQ(BatchOfRound(spec, 1), 1);
  EXPECT_EQ(BatchOfRound(spec, 3), 3);
  EXPECT_FALSE(LearnsFrom(spec, 1));
  EXPECT_TRUE(LearnsFrom(spec, 2));
  EXPECT_EQ(RewardIteration(spec, 2), 2);
  EXPECT_EQ(Progress(spec, 2), 0);
  // where rounds are far apart, the first one waits for no more than the initial batches
  spec.mutable_queries()->set_round_steps(4000);
  ASSERT_EQ(InitialBatches(spec), 2);
  EXPECT_EQ(FirstRound(spec), 0);
  EXPECT_EQ(BatchOfRound(spec, 0), 1);
  EXPECT_EQ(BatchOfRound(spec, 1), 4);
  EXPECT_EQ(RewardIteration(spec, 4), 2);
  EXPECT_EQ(RewardIteration(spec, 5), 5);
}

TEST(AnsweredRound, IsOneWhoseEnsembleThePolicyOfTheBatchHasLearnedFrom) {
  v1::RunSpec spec = SpecOf(0);
  spec.mutable_queries()->set_initial_share(0.25);
  spec.mutable_collection()->set_clips_per_batch(40);
  for (const int64_t round_steps : {0, 4000}) {
    spec.mutable_queries()->set_round_steps(round_steps);
    ASSERT_EQ(InitialBatches(spec), 2);
    for (int64_t batch = 0; batch < 3; ++batch) EXPECT_EQ(AnsweredRound(spec, batch), -1) << batch;
    for (int64_t batch = 3; batch < 20; ++batch) {
      ASSERT_TRUE(LearnsFrom(spec, batch - 1));
      EXPECT_EQ(BatchOfRound(spec, AnsweredRound(spec, batch)) + 1,
                RewardIteration(spec, batch - 1))
          << batch;
    }
  }
  spec.set_lockstep(false);
  EXPECT_GT(AnsweredRound(spec, 1), 1'000'000);
}

TEST(Rounds, StayTheSameWhereARunIsContinued) {
  v1::RunSpec spec = options::DefaultRunSpec(), continued = spec;
  continued.set_labels(2 * spec.labels());
  continued.set_steps(2 * spec.steps());
  ASSERT_NE(InitialBatches(spec), InitialBatches(continued));
  for (int64_t batch = 20; batch < 100; ++batch) {
    EXPECT_EQ(RoundAt(spec, batch), RoundAt(continued, batch));
    EXPECT_EQ(BatchOfRound(spec, batch), BatchOfRound(continued, batch));
  }
}

TEST(Rounds, FollowEveryBatchByDefault) {
  const v1::RunSpec spec = SpecOf(0);
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(BatchOfRound(spec, i), i);
    EXPECT_EQ(RoundAt(spec, i), i);
    EXPECT_EQ(RewardIteration(spec, i + 1), i + 1);
    EXPECT_EQ(LabelsWantedIn(spec, i), LabelsWantedAt(spec, (i + 1) * 1000));
  }
}

TEST(Rounds, AreRoundedUpToWholeBatches) {
  for (const int64_t steps : {2001, 3000}) {
    EXPECT_EQ(BatchOfRound(SpecOf(steps), 0), 0);
    EXPECT_EQ(BatchOfRound(SpecOf(steps), 2), 6);
  }
}

TEST(Rounds, RewardTheIterationsUntilTheNextOne) {
  const v1::RunSpec spec = SpecOf(3000);
  const int64_t published[] = {1, 1, 1, 4, 4, 4, 7, 7, 7, 10};
  for (int64_t i = 1; i <= 10; ++i) EXPECT_EQ(RewardIteration(spec, i), published[i - 1]) << i;
  EXPECT_EQ(RoundAt(spec, -1), -1);
  EXPECT_EQ(RoundAt(spec, 2), 0);
  EXPECT_EQ(RoundAt(spec, 3), 1);
}

TEST(Rounds, SpendTheWholeBudgetByTheLastOne) {
  const v1::RunSpec spec = SpecOf(4000);
  EXPECT_LT(LabelsWantedIn(spec, 1), 100);
  EXPECT_EQ(LabelsWantedIn(spec, RoundAt(spec, 9)), 100);
}

}  // namespace
}  // namespace backflip::method
