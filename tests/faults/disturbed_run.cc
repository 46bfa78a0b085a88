#include "tests/faults/disturbed_run.h"

#include <gmock/gmock.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace backflip::testing {

using ::testing::HasSubstr;

Stack* DisturbedRun::stack_ = nullptr;
v1::Run DisturbedRun::undisturbed_;

v1::RunSpec DisturbedRun::Spec() {
  v1::RunSpec spec = ShortRun(kLabels, kBatches);
  spec.set_seed(5);
  spec.mutable_reward_model()->set_updates_per_batch(2);
  spec.mutable_queries()->set_schedule(v1::UNIFORM);
  spec.mutable_queries()->set_asked_by(1);
  spec.mutable_queries()->set_pool(100);
  return spec;
}

int64_t DisturbedRun::Number(const std::string& sql) {
  const std::string text = stack_->Sql(sql);
  int64_t number = -1;
  EXPECT_TRUE(absl::SimpleAtoi(text, &number)) << sql << ": " << text;
  return number;
}

void DisturbedRun::StartStack(StackOptions options) {
  auto stack = Stack::Start(std::move(options));
  ASSERT_TRUE(stack.ok()) << stack.status();
  stack_ = stack->release();
  ASSERT_TRUE(stack_->StartServing().ok());
  const auto run = stack_->Create("hopper_backflip_guided", Spec());
  ASSERT_TRUE(run.ok()) << run.status();
  const auto end = stack_->Await(run->id(), Finished);
  ASSERT_TRUE(end.ok()) << end.status();
  undisturbed_ = *end;
}

void DisturbedRun::TearDownTestSuite() {
  if (stack_ == nullptr) return;
  for (const Program program : {Program::kTeacher, Program::kWorker, Program::kLearner,
                                Program::kTrainer, Program::kBroker}) {
    if (!stack_->Runs(program)) continue;
    const absl::Status drained = stack_->Drain(program);
    EXPECT_TRUE(drained.ok()) << drained;
  }
  delete stack_;
}

void DisturbedRun::SetUp() {
  ASSERT_GT(undisturbed_.id(), 0);
  const absl::Status counted = stack_->CountAnswers();
  ASSERT_TRUE(counted.ok()) << counted;
  const auto run = stack_->Create("hopper_backflip_guided", Spec());
  ASSERT_TRUE(run.ok()) << run.status();
  run_id_ = run->id();
  AwaitIterations(kMiddle);
  labels_ = Labels();
}

void DisturbedRun::AwaitIterations(int64_t iterations) {
  const auto run =
      stack_->Await(run_id_, [&](const v1::Run& run) { return run.iterations() >= iterations; });
  ASSERT_TRUE(run.ok()) << run.status();
}

void DisturbedRun::Restart(Program program) {
  const absl::Status started = stack_->StartProgram(program);
  ASSERT_TRUE(started.ok()) << started;
}

void DisturbedRun::KillAndRestart(Program program) {
  stack_->Kill(program);
  Restart(program);
}

std::string DisturbedRun::Labels() const {
  return stack_->Sql(absl::StrCat(
      "SELECT id, question_id, choice FROM labels WHERE run_id = ", run_id_, " ORDER BY id"));
}

std::string DisturbedRun::Snapshots(int64_t run_id) {
  const std::string snapshots = stack_->Sql(absl::StrCat(
      "SELECT DISTINCT kind, iteration, encode(sha256, 'hex') FROM snapshots WHERE run_id = ",
      run_id, " AND (kind = 'REWARD' OR kept) ORDER BY 1, 2, 3"));
  EXPECT_THAT(snapshots, HasSubstr(absl::StrCat("REWARD|", kBatches, "|")));
  EXPECT_THAT(snapshots, HasSubstr(absl::StrCat("POLICY|", kBatches, "|")));
  return snapshots;
}

void DisturbedRun::Finish() {
  const auto end = stack_->Await(run_id_, Finished);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->iterations(), kBatches);
  EXPECT_EQ(end->labels(), kLabels);
  // what stood before the fault still stands, at the head
  EXPECT_EQ(Labels().substr(0, labels_.size()), labels_);
  const std::string of_run = absl::StrCat(" FROM labels WHERE run_id = ", run_id_);
  EXPECT_EQ(Number("SELECT count(*)" + of_run), kLabels);
  EXPECT_EQ(Number("SELECT count(DISTINCT question_id)" + of_run), kLabels);
  EXPECT_EQ(Number("SELECT count(*)" + of_run + " AND counts"), kLabels);
  EXPECT_EQ(Snapshots(run_id_), Snapshots(undisturbed_.id()));
  if (answers_are_counted_) {
    const absl::Status checked = stack_->CheckAnswers();
    EXPECT_TRUE(checked.ok()) << checked;
  }
}

}  // namespace backflip::testing
