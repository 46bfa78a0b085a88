#include "services/reward_trainer/reward_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/method/pace.h"
#include "common/method/round_planner.h"
#include "common/method/rounds.h"
#include "common/nn/reward.h"
#include "common/options/run_spec.h"
#include "tests/unit/services/reward_trainer/fake_broker.h"

namespace backflip::reward_trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// 1,000 steps in batches of 50, 100 labels spread evenly: 25 before the first
// update, then 3 or 4 a round.
v1::Run SmallRun(bool lockstep = true) {
  v1::Run run;
  run.set_id(7);
  run.set_state(v1::RUNNING);
  v1::RunSpec layer;
  layer.set_labels(100);
  layer.set_steps(1000);
  layer.set_seed(3);
  layer.set_lockstep(lockstep);
  layer.mutable_collection()->set_environments(5);
  layer.mutable_collection()->set_batch_steps(50);
  layer.mutable_queries()->set_schedule(v1::UNIFORM);
  layer.mutable_queries()->set_asked_by(1);
  layer.mutable_queries()->set_initial_share(0.25);
  layer.mutable_queries()->set_pool(40);
  layer.mutable_reward_model()->add_hidden(8);
  layer.mutable_reward_model()->set_updates_per_label(0.8);
  layer.mutable_reward_model()->set_updates_per_batch(5);
  layer.mutable_reward_model()->set_minibatch_labels(8);
  *run.mutable_spec() = options::Overlay(options::DefaultRunSpec(), layer);
  run.mutable_task()->set_observation_size(2);
  run.mutable_task()->set_action_size(1);
  run.mutable_task()->set_clip_steps(5);
  return run;
}

std::unique_ptr<RewardTrainer> Start(const FakeBroker& broker) {
  auto trainer = std::make_unique<RewardTrainer>(rpc::Client(broker.address(), "token"));
  trainer->Start();
  return trainer;
}

void AddBatches(FakeBroker* broker, int count) {
  for (int i = 0; i < count; ++i) broker->AddBatch(20);
}

// The rewards of iterations 1 to `count`, from an undisturbed run.
std::map<int64_t, std::string> UndisturbedRewards(int count) {
  FakeBroker broker(SmallRun());
  AddBatches(&broker, count);
  const auto trainer = Start(broker);
  return broker.AwaitReward(count);
}

TEST(Lockstep, PublishesARewardForTheIterationAfterEveryBatch) {
  FakeBroker broker(SmallRun());
  const auto trainer = Start(broker);
  for (int i = 1; i <= 3; ++i) {
    broker.AddBatch(20);
    const auto rewards = broker.AwaitReward(i);
    EXPECT_EQ(rewards.size(), i);
    const auto snapshot = nn::Snapshot::Decode(rewards.at(i));
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    EXPECT_TRUE(nn::RewardModel::FromSnapshot(*snapshot).ok());
  }
}

TEST(Lockstep, AsksAsManyLabelsAsTheScheduleWants) {
  FakeBroker broker(SmallRun());
  AddBatches(&broker, 6);
  const auto trainer = Start(broker);
  broker.AwaitReward(6);
  size_t asked = 0;
  for (const v1::OpenQuestionsRequest& round : broker.Rounds()) {
    asked += round.questions_size();
    EXPECT_EQ(asked, method::LabelsWantedAt(SmallRun().spec(), (round.round() + 1) * 50));
    EXPECT_EQ(round.selector(), round.round() == 0 ? "random" : "disagreement");
  }
}

TEST(Lockstep, AsksFirstAboutClipsOfAllInitialBatches) {
  v1::Run run = SmallRun();
  run.mutable_spec()->mutable_collection()->set_clips_per_batch(30);
  run.mutable_spec()->mutable_queries()->set_pool(100);
  ASSERT_EQ(method::InitialBatches(run.spec()), 3);
  FakeBroker broker(run);
  const auto trainer = Start(broker);
  AddBatches(&broker, 3);
  EXPECT_THAT(broker.AwaitReward(3), ElementsAre(testing::Key(3)));
  const std::vector<v1::OpenQuestionsRequest> rounds = broker.Rounds();
  ASSERT_EQ(rounds.size(), 1u);
  std::set<char> batches;
  for (const v1::NewQuestion& question : rounds[0].questions()) {
    for (const std::string& id : question.clip_ids()) batches.insert(id[5]);  // clip-<batch>-…
  }
  EXPECT_THAT(batches, ElementsAre('0', '1', '2'));
  broker.AddBatch(20);
  broker.AwaitReward(4);
}

TEST(Lockstep, AsksAndFitsEverySoManyStepsWhereTheRunSaysSo) {
  v1::Run run = SmallRun();
  run.mutable_spec()->mutable_queries()->set_round_steps(150);  // three batches
  FakeBroker broker(run);
  AddBatches(&broker, 4);
  auto trainer = Start(broker);
  const auto rewards = broker.AwaitReward(4);
  EXPECT_THAT(rewards, ElementsAre(testing::Key(1), testing::Key(4)));
  size_t asked = 0;
  for (const v1::OpenQuestionsRequest& round : broker.Rounds()) {
    asked += round.questions_size();
    EXPECT_EQ(asked, method::LabelsWantedAt(run.spec(), (round.round() + 1) * 150));
  }
  EXPECT_EQ(broker.Rounds().size(), 2u);
  // and goes on from its checkpoint with the next round
  trainer.reset();
  AddBatches(&broker, 3);
  trainer = Start(broker);
  EXPECT_THAT(broker.AwaitReward(7),
              ElementsAre(testing::Key(1), testing::Key(4), testing::Key(7)));
}

TEST(Lockstep, AsksAgainForWhatNobodyCouldTell) {
  FakeBroker broker(SmallRun());
  broker.SetJudge([](const v1::OpenedQuestion& question) {
    return question.ordinal() < 4 ? v1::CANNOT_TELL : v1::LEFT;
  });
  AddBatches(&broker, 2);
  const auto trainer = Start(broker);
  broker.AwaitReward(2);
  EXPECT_EQ(broker.AwaitQuestions(0).size(), 4 + method::LabelsWantedAt(SmallRun().spec(), 2 * 50));
}

TEST(Lockstep, WaitsForEveryAnswerOfARound) {
  FakeBroker broker(SmallRun());
  broker.SetAnswering(false);
  broker.AddBatch(20);
  const auto trainer = Start(broker);
  broker.AwaitQuestions(25);
  EXPECT_THAT(broker.Metrics(), IsEmpty());
  broker.SetAnswering(true);
  broker.AwaitReward(1);
}

TEST(Lockstep, GivesTheSameRewardsInWhateverOrderAnswersCome) {
  const auto undisturbed = UndisturbedRewards(4);
  FakeBroker broker(SmallRun());
  broker.AnswerInReverse();
  AddBatches(&broker, 4);
  const auto trainer = Start(broker);
  EXPECT_EQ(broker.AwaitReward(4), undisturbed);
}

TEST(Lockstep, GivesTheSameRewardsAfterARestartInTheMiddleOfARound) {
  const auto undisturbed = UndisturbedRewards(14);
  FakeBroker broker(SmallRun());
  AddBatches(&broker, 12);
  auto trainer = Start(broker);
  broker.AwaitReward(12);
  broker.SetAnswering(false);
  broker.AddBatch(20);
  broker.AwaitQuestions(method::LabelsWantedAt(SmallRun().spec(), 13 * 50));
  trainer.reset();  // drains: saves round 11, gives the run back
  EXPECT_EQ(broker.AwaitRelease().failure(), "");
  EXPECT_THAT(broker.CheckpointIterations(), ElementsAre(9, 11));
  broker.SetAnswering(true);
  broker.AddBatch(20);
  trainer = Start(broker);
  EXPECT_EQ(broker.AwaitReward(14), undisturbed);
}

TEST(Lockstep, BeginsTheEnsembleAnewWhenAnAnswerIsTakenBack) {
  FakeBroker broker(SmallRun());
  broker.AddBatch(20);
  const auto trainer = Start(broker);
  broker.AwaitReward(1);
  broker.TakeBack(5);
  broker.AddBatch(20);
  broker.AwaitReward(2);
}

TEST(Lockstep, SavesAndLetsGoOfARunThatIsPaused) {
  FakeBroker broker(SmallRun());
  broker.AddBatch(20);
  const auto trainer = Start(broker);
  broker.AwaitReward(1);
  broker.SetState(v1::PAUSED);
  EXPECT_EQ(broker.AwaitRelease().failure(), "");
  EXPECT_THAT(broker.CheckpointIterations(), ElementsAre(0));
}

TEST(WithoutLockstep, FitsTheNewestBatchAsLabelsCome) {
  FakeBroker broker(SmallRun(/*lockstep=*/false));
  AddBatches(&broker, 3);
  const auto trainer = Start(broker);
  EXPECT_THAT(broker.AwaitReward(3), testing::SizeIs(1));
  broker.AddBatch(20);
  broker.AwaitReward(4);
}

TEST(WithoutLockstep, AsksFirstAboutClipsOfAllInitialBatches) {
  v1::Run run = SmallRun(/*lockstep=*/false);
  run.mutable_spec()->mutable_collection()->set_clips_per_batch(20);
  run.mutable_spec()->mutable_queries()->set_pool(100);
  ASSERT_EQ(method::InitialBatches(run.spec()), 3);  // 30 first labels, two clips for each
  FakeBroker broker(run);
  const auto trainer = Start(broker);
  AddBatches(&broker, 3);
  EXPECT_THAT(broker.AwaitReward(3), ElementsAre(testing::Key(3)));
  const std::vector<v1::OpenQuestionsRequest> rounds = broker.Rounds();
  std::set<char> batches;
  for (const v1::NewQuestion& question : rounds[0].questions()) {
    for (const std::string& id : question.clip_ids()) batches.insert(id[5]);
  }
  EXPECT_THAT(batches, ElementsAre('0', '1', '2'));
}

TEST(WithoutLockstep, BeginsWithoutTheLabelsThatNobodyCouldTell) {
  FakeBroker broker(SmallRun(/*lockstep=*/false));
  broker.SetJudge([](const v1::OpenedQuestion& question) {
    return question.ordinal() < 4 ? v1::CANNOT_TELL : v1::LEFT;
  });
  broker.AddBatch(20);
  const auto trainer = Start(broker);
  broker.AwaitReward(1);
}

TEST(WithoutLockstep, MakesTheFirstEnsembleOfTheFirstLabels) {
  v1::Run run = SmallRun(/*lockstep=*/false);
  run.mutable_spec()->mutable_queries()->set_first_labels(10);
  FakeBroker broker(run);
  broker.AddBatch(20);
  const auto trainer = Start(broker);
  broker.AwaitReward(1);
  EXPECT_GE(broker.LabelsOf(1), 10);
}

TEST(WithoutLockstep, KeepsAFewQuestionsReadyAndNoMore) {
  FakeBroker broker(SmallRun(/*lockstep=*/false));
  broker.SetAnswering(false);
  AddBatches(&broker, 2);
  const auto trainer = Start(broker);
  EXPECT_EQ(broker.AwaitQuestions(method::kBuffer).size(), method::kBuffer);
  // further batches want nothing while those are not answered
  broker.AddBatch(20);
  broker.SetAnswering(true);
  broker.AwaitReward(3);
  broker.AwaitQuestions(method::kBuffer + 1);
}

TEST(WithoutLockstep, AsksOthersInPlaceOfThoseWhoHoldTheirQuestionsForLong) {
  FakeBroker broker(SmallRun(/*lockstep=*/false));
  broker.SetAnswering(false);
  AddBatches(&broker, 2);
  const auto trainer = Start(broker);
  EXPECT_EQ(broker.AwaitQuestions(method::kBuffer).size(), method::kBuffer);
  broker.Hold(method::kBuffer / 2);
  broker.AwaitQuestions(method::kBuffer + method::kBuffer / 2);
}

TEST(WithoutLockstep, AsksOnWithNoNewBatchWhileTheScheduleWantsLabels) {
  v1::Run run = SmallRun(/*lockstep=*/false);
  run.mutable_spec()->set_steps_per_label(1);  // 50 labels for the first batch
  FakeBroker broker(run);
  broker.AddBatch(40);
  const auto trainer = Start(broker);
  broker.AwaitLabels(50);
  EXPECT_GT(broker.Rounds().size(), 2u);
}

TEST(WithoutLockstep, FindsOpenQuestionsAfterARestart) {
  FakeBroker broker(SmallRun(/*lockstep=*/false));
  broker.SetAnswering(false);
  broker.AddBatch(20);
  auto trainer = Start(broker);
  broker.AwaitQuestions(method::kBuffer);
  trainer.reset();
  broker.AddBatch(20);
  trainer = Start(broker);
  // the round that stood fills the buffer: nothing else is opened
  broker.SetAnswering(true);
  broker.AwaitQuestions(method::kBuffer + 1);
  EXPECT_EQ(broker.Rounds()[0].questions_size(), method::kBuffer);
  EXPECT_EQ(broker.Rounds()[1].round(), 1);
}

TEST(WithoutLockstep, FitsAnewWithoutAnAnswerThatIsTakenBack) {
  v1::Run run = SmallRun(/*lockstep=*/false);
  run.mutable_spec()->mutable_queries()->set_first_labels(10);
  FakeBroker broker(run);
  broker.AddBatch(20);
  const auto trainer = Start(broker);
  broker.AwaitReward(1);
  const int64_t published = broker.Published();
  broker.TakeBack(5);
  while (broker.Published() == published) absl::SleepFor(absl::Milliseconds(5));
}

TEST(WithoutLockstep, FitsAnewOnceAMinuteHoweverOftenAnAnswerIsChanged) {
  v1::Run run = SmallRun(/*lockstep=*/false);
  run.mutable_spec()->mutable_queries()->set_first_labels(10);
  FakeBroker broker(run);
  broker.AddBatch(20);
  const auto trainer = Start(broker);
  broker.AwaitReward(1);
  broker.SetAnswering(false);
  const int64_t published = broker.Published();
  for (int i = 0; i < 10; ++i) {
    broker.TakeBack(1 + i);
    // long enough to fit to ten labels
    absl::SleepFor(absl::Milliseconds(100));
  }
  // one from the beginning, and perhaps some to answers that came during the first
  EXPECT_LE(broker.Published() - published, 3);
  // nothing is put off once no more is asked
  const int64_t before = broker.Published();
  broker.StopAsking();
  while (broker.Published() == before) absl::SleepFor(absl::Milliseconds(5));
}

TEST(StopAsking, OpensNothingMoreAndWaitsForNothing) {
  for (const bool lockstep : {true, false}) {
    FakeBroker broker(SmallRun(lockstep));
    broker.SetAnswering(false);
    broker.AddBatch(20);
    const auto trainer = Start(broker);
    const size_t opened = broker.AwaitQuestions(lockstep ? 25 : method::kBuffer).size();
    broker.StopAsking();
    // of no labels at all: untrained, but there for the run to end with
    broker.AwaitReward(1);
    broker.AddBatch(20);
    broker.AwaitReward(2);
    EXPECT_EQ(broker.AwaitQuestions(0).size(), opened);
  }
}

TEST(Questions, WantAsManyAnswersAsWasDrawn) {
  v1::Run run = SmallRun();
  run.mutable_spec()->mutable_queries()->set_overlap(2);
  run.mutable_spec()->mutable_queries()->set_overlap_share(0.5);
  FakeBroker broker(run);
  broker.SetLabelers({1, 2});
  AddBatches(&broker, 2);
  const auto trainer = Start(broker);
  broker.AwaitReward(2);
  int64_t wanted = 0;
  std::map<int, int> by_overlap;
  for (const v1::OpenQuestionsRequest& round : broker.Rounds()) {
    for (const v1::NewQuestion& question : round.questions()) {
      wanted += question.overlap();
      ++by_overlap[question.overlap()];
    }
  }
  const int64_t scheduled = method::LabelsWantedAt(run.spec(), 100);
  EXPECT_GE(wanted, scheduled);
  EXPECT_LE(wanted, scheduled + 1);
  EXPECT_GT(by_overlap[1], 0);
  EXPECT_GT(by_overlap[2], 0);
}

TEST(Questions, AreRankingsWhereTheRunSaysSo) {
  v1::Run run = SmallRun();
  run.mutable_spec()->mutable_queries()->set_clips_per_question(4);
  FakeBroker broker(run);
  AddBatches(&broker, 3);
  const auto trainer = Start(broker);
  broker.AwaitReward(3);
  EXPECT_EQ(broker.LabelsOf(3), method::LabelsWantedAt(run.spec(), 150));
  for (const v1::OpenQuestionsRequest& round : broker.Rounds()) {
    for (const v1::NewQuestion& question : round.questions()) {
      const std::set<std::string> clips(question.clip_ids().begin(), question.clip_ids().end());
      EXPECT_EQ(clips.size(), 4u);
    }
  }
}

TEST(Questions, SetWinnersAgainstEachOtherWhereTheRunSaysSo) {
  for (const bool lockstep : {true, false}) {
    v1::Run run = SmallRun(lockstep);
    run.mutable_spec()->mutable_queries()->set_winners_share(0.5);
    FakeBroker broker(run);
    broker.SetJudge([](const v1::OpenedQuestion& question) {
      return question.clip_ids(0) > question.clip_ids(1) ? v1::LEFT : v1::RIGHT;
    });
    AddBatches(&broker, 6);
    const auto trainer = Start(broker);
    broker.AwaitLabels(static_cast<int>(method::LabelsWantedAt(run.spec(), 300)));
    std::map<std::string, int> wins;
    std::set<std::string> lost;
    int questions = 0, of_winners = 0;
    for (const v1::OpenQuestionsRequest& round : broker.Rounds()) {
      for (const v1::NewQuestion& question : round.questions()) {
        if (round.round() > 0) ++questions;
        if (question.selector().empty()) continue;
        EXPECT_EQ(question.selector(), "winners");
        ++of_winners;
        for (const std::string& clip : question.clip_ids()) EXPECT_EQ(lost.count(clip), 0u) << clip;
        EXPECT_GE(wins[question.clip_ids(0)], 1);
        EXPECT_EQ(wins[question.clip_ids(0)], wins[question.clip_ids(1)]);
      }
      for (const v1::NewQuestion& question : round.questions()) {
        const auto [loser, winner] = std::minmax(question.clip_ids(0), question.clip_ids(1));
        ++wins[winner];
        lost.insert(loser);
      }
    }
    EXPECT_GT(of_winners, questions / 4);
    EXPECT_LT(of_winners, questions * 3 / 4);
  }
}

TEST(Questions, SetTheNewestPolicyAgainstEarlierOnesAndDoNotTrainOnIt) {
  v1::Run run = SmallRun();
  run.mutable_spec()->mutable_queries()->set_progress_share(0.5);
  FakeBroker broker(run);
  AddBatches(&broker, 6);
  const auto trainer = Start(broker);
  broker.AwaitReward(6);
  int progress = 0;
  for (const v1::OpenQuestionsRequest& round : broker.Rounds()) {
    for (const v1::NewQuestion& question : round.questions()) {
      if (question.purpose() != v1::PROGRESS) continue;
      ++progress;
      const std::string newest = absl::StrCat("clip-", round.round(), "-");
      EXPECT_EQ(question.clip_ids(0).substr(0, newest.size()), newest);
      EXPECT_NE(question.clip_ids(1).substr(0, newest.size()), newest);
    }
  }
  EXPECT_GT(progress, 2);
  EXPECT_EQ(broker.LabelsOf(6), method::LabelsWantedAt(run.spec(), 300));
}

TEST(Reliability, IsReportedOnceThereAreTwoLabelers) {
  FakeBroker broker(SmallRun());
  broker.SetLabelers({1, 2});
  broker.AddBatch(20);
  const auto trainer = Start(broker);
  broker.AwaitReward(1);
  broker.AddBatch(20);
  broker.AwaitReward(2);
  const std::vector<v1::Reliability> reported = broker.Reliabilities();
  ASSERT_EQ(reported.size(), 2u);
  EXPECT_EQ(reported[0].labeler(), 1);
  EXPECT_GT(reported[0].labels(), 5);
  EXPECT_LT(reported[0].low(), reported[0].high());
}

TEST(Reliability, IsNotLearnedOfASingleLabelerNorWhereTurnedOff) {
  v1::Run off = SmallRun();
  off.mutable_spec()->mutable_quality()->set_learn_reliability(false);
  const auto undisturbed = UndisturbedRewards(2);
  for (const bool single : {true, false}) {
    FakeBroker broker(single ? SmallRun() : off);
    if (!single) broker.SetLabelers({1, 2});
    AddBatches(&broker, 2);
    const auto trainer = Start(broker);
    EXPECT_EQ(broker.AwaitReward(2), undisturbed);
    EXPECT_THAT(broker.Reliabilities(), IsEmpty());
  }
}

}  // namespace
}  // namespace backflip::reward_trainer
