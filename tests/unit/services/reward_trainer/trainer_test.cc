#include "services/reward_trainer/trainer.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/nn/reward.h"
#include "common/run/run_spec.h"
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
  layer.mutable_queries()->set_initial_share(0.25);
  layer.mutable_queries()->set_pool(40);
  layer.mutable_reward_model()->add_hidden(8);
  layer.mutable_reward_model()->set_initial_updates(20);
  layer.mutable_reward_model()->set_updates_per_round(5);
  layer.mutable_reward_model()->set_minibatch_labels(8);
  *run.mutable_spec() = run::Overlay(run::DefaultRunSpec(), layer);
  run.mutable_task()->set_observation_size(2);
  run.mutable_task()->set_action_size(1);
  run.mutable_task()->set_clip_steps(5);
  return run;
}

std::unique_ptr<Trainer> Start(const FakeBroker& broker) {
  auto trainer = std::make_unique<Trainer>(rpc::Client(broker.address(), "token"));
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
    EXPECT_EQ(asked, run::LabelsWantedAt(SmallRun().spec(), (round.round() + 1) * 50));
    EXPECT_EQ(round.selector(), round.round() == 0 ? "random" : "disagreement");
  }
}

TEST(Lockstep, AsksAgainForWhatNobodyCouldTell) {
  FakeBroker broker(SmallRun());
  broker.SetJudge([](const v1::OpenedQuestion& question) {
    return question.ordinal() < 4 ? v1::CANNOT_TELL : v1::LEFT;
  });
  AddBatches(&broker, 2);
  const auto trainer = Start(broker);
  broker.AwaitReward(2);
  EXPECT_EQ(broker.AwaitQuestions(0).size(),
            4 + run::LabelsWantedAt(SmallRun().spec(), 2 * 50));
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
  broker.AwaitQuestions(run::LabelsWantedAt(SmallRun().spec(), 13 * 50));
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

TEST(WithoutLockstep, BeginsWithoutTheLabelsThatNobodyCouldTell) {
  FakeBroker broker(SmallRun(/*lockstep=*/false));
  broker.SetJudge([](const v1::OpenedQuestion& question) {
    return question.ordinal() < 4 ? v1::CANNOT_TELL : v1::LEFT;
  });
  broker.AddBatch(20);
  const auto trainer = Start(broker);
  broker.AwaitReward(1);
}

}  // namespace
}  // namespace backflip::reward_trainer
