// A run as people have it: nothing waits for a round to be complete, and
// answers are taken back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "backflip/v1/label.grpc.pb.h"
#include "common/base/random.h"
#include "common/rpc/status.h"
#include "tests/support/stack.h"

namespace backflip::testing {
namespace {

TEST(WithoutLockstep, TrainsAsLabelsComeAndForgetsWhatIsTakenBack) {
  auto started = Stack::Start();
  ASSERT_TRUE(started.ok()) << started.status();
  Stack& stack = **started;
  ASSERT_TRUE(stack.StartServing().ok());
  v1::RunSpec spec;
  spec.set_lockstep(false);
  spec.set_labels(40);
  spec.set_steps(40 * 800);
  // so that the run cannot end before an ensemble has learned from every label
  spec.set_steps_per_label(800);
  spec.set_kept_snapshots(2);
  spec.mutable_collection()->set_environments(4);
  spec.mutable_collection()->set_batch_steps(800);
  spec.mutable_collection()->set_clips_per_batch(8);
  spec.mutable_ppo()->set_epochs(2);
  spec.mutable_reward_model()->set_updates_per_label(0.5);
  spec.mutable_reward_model()->set_updates_per_batch(2);
  const auto run = stack.Create("hopper_backflip_guided", spec);
  ASSERT_TRUE(run.ok()) << run.status();
  // batches are learned from whether or not the teacher keeps up
  const auto middle = stack.Await(
      run->id(), [](const v1::Run& now) { return now.iterations() >= 8 && now.labels() >= 8; });
  ASSERT_TRUE(middle.ok()) << middle.status();

  // the first answer is taken back, and turned around
  const std::string lease = stack.Sql(
      absl::StrCat("SELECT lease_id FROM labels WHERE position = 1 AND run_id = ", run->id()));
  const auto teacher = stack.ClientOf("teacher");
  ASSERT_TRUE(teacher.ok()) << teacher.status();
  const auto labeling = v1::LabelingService::NewStub(teacher->channel());
  v1::UndoRequest undo;
  undo.set_lease_id(lease);
  undo.set_idempotency_key(base::RandomHex128());
  v1::UndoResponse undone;
  const absl::Status taken_back =
      rpc::FromGrpc(labeling->Undo(teacher->UnaryContext().get(), undo, &undone));
  ASSERT_TRUE(taken_back.ok()) << taken_back;
  v1::SubmitRequest submit;
  submit.set_lease_id(lease);
  submit.set_idempotency_key(base::RandomHex128());
  submit.mutable_answer()->set_choice(v1::TIE);
  v1::SubmitResponse submitted;
  const absl::Status answered =
      rpc::FromGrpc(labeling->Submit(teacher->UnaryContext().get(), submit, &submitted));
  ASSERT_TRUE(answered.ok()) << answered;

  const auto end =
      stack.Await(run->id(), [](const v1::Run& now) { return now.state() == v1::FINISHED; });
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->labels(), 40);
  EXPECT_GT(end->best_version(), 0);
  // 40 that stand, one that was taken back, and its retraction
  const std::string of_run = absl::StrCat(" FROM labels WHERE run_id = ", run->id());
  EXPECT_EQ(stack.Sql("SELECT count(*), max(position)" + of_run), "42|42");
  // the newest ensemble knows those that stand
  EXPECT_EQ(stack.Sql(absl::StrCat(
                "SELECT labels FROM snapshots WHERE kind = 'REWARD' AND run_id = ", run->id(),
                " ORDER BY version DESC LIMIT 1")),
            "40");
}

}  // namespace
}  // namespace backflip::testing
