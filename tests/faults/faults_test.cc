// Each process of a run is killed in its middle, and PostgreSQL restarted: the
// run then goes on from its last checkpoint to the same end as one that was
// left alone, and every label that was acknowledged is there once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/support/stack.h"

namespace backflip::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kLabels = 60;
constexpr int kBatches = 30;
// After the checkpoint of iteration 10, before that of 20.
constexpr int kMiddle = 14;

v1::RunSpec ShortRun() {
  v1::RunSpec spec;
  spec.set_labels(kLabels);
  spec.set_steps(kBatches * 800);
  spec.set_seed(5);
  spec.set_kept_snapshots(3);
  spec.mutable_collection()->set_environments(4);
  spec.mutable_collection()->set_batch_steps(800);
  spec.mutable_collection()->set_clips_per_batch(8);
  spec.mutable_ppo()->set_epochs(2);
  spec.mutable_reward_model()->set_updates_per_label(0.5);
  spec.mutable_reward_model()->set_updates_per_batch(2);
  spec.mutable_queries()->set_schedule(v1::UNIFORM);
  spec.mutable_queries()->set_pool(100);
  return spec;
}

bool Finished(const v1::Run& run) { return run.state() == v1::FINISHED; }
bool InTheMiddle(const v1::Run& run) { return run.iterations() >= kMiddle; }

int64_t Number(const std::string& text) {
  int64_t number = -1;
  EXPECT_TRUE(absl::SimpleAtoi(text, &number)) << text;
  return number;
}

class Faults : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto stack = Stack::Start();
    ASSERT_TRUE(stack.ok()) << stack.status();
    stack_ = stack->release();
    ASSERT_TRUE(stack_->StartServing().ok());
    const auto run = stack_->Create("hopper_backflip_guided", ShortRun());
    ASSERT_TRUE(run.ok()) << run.status();
    const auto end = stack_->Await(run->id(), Finished);
    ASSERT_TRUE(end.ok()) << end.status();
    undisturbed_ = *end;
  }
  static void TearDownTestSuite() {
    if (stack_ == nullptr) return;
    for (const Program program : {Program::kTeacher, Program::kWorker, Program::kLearner,
                                  Program::kTrainer, Program::kBroker}) {
      const absl::Status drained = stack_->Drain(program);
      EXPECT_TRUE(drained.ok()) << drained;
    }
    delete stack_;
  }

  void SetUp() override {
    ASSERT_GT(undisturbed_.id(), 0);
    const auto run = stack_->Create("hopper_backflip_guided", ShortRun());
    ASSERT_TRUE(run.ok()) << run.status();
    run_id_ = run->id();
    const auto middle = stack_->Await(run_id_, InTheMiddle);
    ASSERT_TRUE(middle.ok()) << middle.status();
    labels_ = Labels();
  }

  // The run's labels as they were given, one a row.
  std::string Labels() const {
    return stack_->Sql(absl::StrCat(
        "SELECT id, question_id, choice FROM labels WHERE run_id = ", run_id_, " ORDER BY id"));
  }
  std::string Snapshots(int64_t run_id) const {
    const std::string snapshots = stack_->Sql(absl::StrCat(
        "SELECT DISTINCT kind, iteration, encode(sha256, 'hex') FROM snapshots WHERE run_id = ",
        run_id, " AND (kind = 'REWARD' OR kept) ORDER BY 1, 2, 3"));
    EXPECT_THAT(snapshots, HasSubstr(absl::StrCat("REWARD|", kBatches, "|")));
    EXPECT_THAT(snapshots, HasSubstr(absl::StrCat("POLICY|", kBatches, "|")));
    return snapshots;
  }
  int64_t AllLabels() const { return Number(stack_->Sql("SELECT count(*) FROM labels")); }

  // Puts a teacher in place whose acknowledged answers are counted from now on.
  void CountAnswers() {
    ASSERT_TRUE(stack_->Drain(Program::kTeacher).ok());
    labels_before_ = AllLabels();
    ASSERT_TRUE(stack_->StartProgram(Program::kTeacher).ok());
  }
  // Each of them is a label, and there are no others.
  void ExpectAsManyLabelsAsAnswers() {
    const absl::Status drained = stack_->Drain(Program::kTeacher);
    ASSERT_TRUE(drained.ok()) << drained;
    const std::string log = stack_->Log(Program::kTeacher);
    EXPECT_THAT(log.substr(log.rfind("\"drained\"")),
                HasSubstr(absl::StrCat("\"answers\":", AllLabels() - labels_before_, "}")));
    ASSERT_TRUE(stack_->StartProgram(Program::kTeacher).ok());
  }

  // To the end, which is then looked at.
  void Finish() {
    const auto end = stack_->Await(run_id_, Finished);
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_EQ(end->iterations(), kBatches);
    EXPECT_EQ(end->labels(), kLabels);
    // what stood before the fault still stands, at the head
    EXPECT_EQ(Labels().substr(0, labels_.size()), labels_);
    const std::string of_run = absl::StrCat(" FROM labels WHERE run_id = ", run_id_);
    EXPECT_EQ(Number(stack_->Sql("SELECT count(*)" + of_run)), kLabels);
    EXPECT_EQ(Number(stack_->Sql("SELECT count(DISTINCT question_id)" + of_run)), kLabels);
    EXPECT_EQ(Number(stack_->Sql("SELECT count(*)" + of_run + " AND counts")), kLabels);
    // the feed has no gaps
    EXPECT_EQ(Number(stack_->Sql("SELECT max(position)" + of_run)), kLabels);
    EXPECT_EQ(Number(stack_->Sql("SELECT count(position)" + of_run)), kLabels);
    // in lockstep a fault leaves no trace in what was learned
    EXPECT_EQ(Snapshots(run_id_), Snapshots(undisturbed_.id()));
  }

  static Stack* stack_;
  static v1::Run undisturbed_;
  int64_t run_id_ = 0;
  std::string labels_;
  int64_t labels_before_ = 0;
};

Stack* Faults::stack_ = nullptr;
v1::Run Faults::undisturbed_;

TEST_F(Faults, OfAWorkerCostNothing) {
  stack_->Kill(Program::kWorker);
  ASSERT_TRUE(stack_->StartProgram(Program::kWorker).ok());
  Finish();
}

TEST_F(Faults, OfALearnerLeadBackToItsCheckpoint) {
  stack_->Kill(Program::kLearner);
  ASSERT_TRUE(stack_->StartProgram(Program::kLearner).ok());
  Finish();
  EXPECT_THAT(stack_->Log(Program::kLearner), HasSubstr("continuing from a checkpoint"));
}

TEST_F(Faults, OfATrainerLeadBackToItsCheckpoint) {
  stack_->Kill(Program::kTrainer);
  ASSERT_TRUE(stack_->StartProgram(Program::kTrainer).ok());
  Finish();
  EXPECT_THAT(stack_->Log(Program::kTrainer), HasSubstr("went on from a checkpoint"));
}

TEST_F(Faults, OfATeacherLoseAndDoubleNoAnswer) {
  stack_->Kill(Program::kTeacher);
  ASSERT_TRUE(stack_->StartProgram(Program::kTeacher).ok());
  Finish();
}

TEST_F(Faults, OfTheBrokerAreWaitedFor) {
  CountAnswers();
  for (const int64_t iterations : {kMiddle, kMiddle + 4, kMiddle + 8}) {
    const auto run =
        stack_->Await(run_id_, [&](const v1::Run& run) { return run.iterations() >= iterations; });
    ASSERT_TRUE(run.ok()) << run.status();
    stack_->Kill(Program::kBroker);
    ASSERT_TRUE(stack_->StartProgram(Program::kBroker).ok());
  }
  Finish();
  ExpectAsManyLabelsAsAnswers();
}

TEST_F(Faults, OfTheDatabaseAreWaitedFor) {
  CountAnswers();
  const absl::Status restarted = stack_->RestartDatabase();
  ASSERT_TRUE(restarted.ok()) << restarted;
  Finish();
  ExpectAsManyLabelsAsAnswers();
}

TEST_F(Faults, OfEverythingAtOnceLeadBackToTheCheckpoints) {
  const auto programs = {Program::kBroker, Program::kTeacher, Program::kWorker, Program::kLearner,
                         Program::kTrainer};
  for (const Program program : programs) stack_->Kill(program);
  const absl::Status restarted = stack_->RestartDatabase();
  ASSERT_TRUE(restarted.ok()) << restarted;
  for (const Program program : programs) ASSERT_TRUE(stack_->StartProgram(program).ok());
  Finish();
}

// No fault, but the same promise.
TEST_F(Faults, AndPausesLeaveNoTrace) {
  ASSERT_TRUE(stack_->broker().Cancel(run_id_, /*pause=*/true).ok());
  ASSERT_TRUE(stack_->broker().Continue(run_id_, 0, 0).ok());
  Finish();
}

TEST_F(Faults, OfACheckpointLeadBackToTheOneBefore) {
  // which saves another one
  ASSERT_TRUE(stack_->broker().Cancel(run_id_, /*pause=*/true).ok());
  const std::string newest =
      absl::StrCat(" FROM checkpoints WHERE role = 'learner' AND run_id = ", run_id_);
  const auto saved = stack_->Await(run_id_, [&](const v1::Run&) {
    return Number(stack_->Sql("SELECT max(iteration)" + newest)) >= kMiddle;
  });
  ASSERT_TRUE(saved.ok()) << saved.status();
  stack_->Sql(absl::StrCat(
      "UPDATE checkpoints SET data = set_byte(data, 100, 255 - get_byte(data, 100)) WHERE "
      "role = 'learner' AND run_id = ",
      run_id_, " AND iteration = (SELECT max(iteration)", newest, ")"));
  ASSERT_TRUE(stack_->broker().Continue(run_id_, 0, 0).ok());
  Finish();
  EXPECT_THAT(stack_->Log(Program::kBroker), HasSubstr("a checkpoint in the database is damaged"));
}

TEST_F(Faults, AndTheEndDoNotKeepARunFromGoingOn) {
  Finish();
  ASSERT_TRUE(stack_->broker().Continue(run_id_, 20, 8 * 800).ok());
  const auto end = stack_->Await(run_id_, [](const v1::Run& run) {
    return Finished(run) && run.iterations() == kBatches + 8;
  });
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->labels(), kLabels + 20);
}

}  // namespace
}  // namespace backflip::testing
