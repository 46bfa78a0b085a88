// One label once round: run, clips, questions, lease, label, feed, snapshots.
#include <gtest/gtest.h>

#include "common/base/hash.h"
#include "common/client/claim_keeper.h"
#include "common/client/snapshot_client.h"
#include "common/rpc/collect_token.h"
#include "tests/support/test_broker.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

TEST(Loop, TakesALabelOnceRound) {
  TestBroker broker;
  const v1::Run created =
      broker.CreateRun("labels: 10 steps: 100000 collection { clips_per_batch: 7 }");
  EXPECT_EQ(created.state(), v1::QUEUED);
  EXPECT_EQ(created.limit(), v1::LIMIT_LEARNER);
  const int64_t run_id = created.id();

  // learner and trainer claim, a worker is told where the learner is
  const v1::ClaimResponse learner_claim = broker.Claim(Role::kLearner);
  const v1::ClaimResponse trainer_claim = broker.Claim(Role::kTrainer);
  EXPECT_EQ(learner_claim.run().id(), run_id);
  EXPECT_EQ(learner_claim.run().state(), v1::RUNNING);
  const Peer& learner = broker.As(Role::kLearner);
  const Peer& trainer = broker.As(Role::kTrainer);
  const Peer& worker = broker.As(Role::kWorker);
  v1::RenewClaimRequest renew;
  renew.set_run_id(run_id);
  renew.set_epoch(learner_claim.epoch());
  renew.set_wanted_steps(8192);
  const auto renewed = learner.Call(learner.claims, &v1::ClaimService::Stub::Renew, renew);
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(renewed->state(), v1::RUNNING);
  const auto assignment =
      worker.Call(worker.work, &v1::WorkService::Stub::AssignWork,
                  Parse<v1::AssignWorkRequest>("worker: 'w' threads: 2 wait_ms: 10000"));
  ASSERT_TRUE(assignment.ok()) << assignment.status();
  EXPECT_EQ(assignment->run_id(), run_id);
  EXPECT_EQ(assignment->reward(), v1::PREFERENCES);
  EXPECT_EQ(assignment->learner_address(), "127.0.0.1:1");
  EXPECT_NE(rpc::HolderOf(assignment->collect_token(), learner_claim.collect_token()), 0);

  // policy and checkpoint, in chunks
  v1::SnapshotInfo info;
  info.set_run_id(run_id);
  info.set_kind(v1::POLICY);
  info.set_iteration(0);
  const std::string weights(2'500'000, 'w');
  const auto policy =
      client::PublishSnapshot(learner.client, learner_claim.epoch(), info, weights, nullptr);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->version(), 1);
  const auto again =
      client::PublishSnapshot(learner.client, learner_claim.epoch(), info, weights, nullptr);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->version(), 1);
  v1::GetSnapshotRequest get;
  get.set_run_id(run_id);
  get.set_kind(v1::POLICY);
  const auto got = client::GetSnapshot(learner.client, get, nullptr);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->second, weights);
  v1::CheckpointInfo checkpoint;
  checkpoint.set_run_id(run_id);
  checkpoint.set_iteration(0);
  checkpoint.set_counters("counters");
  const auto any = [](const v1::CheckpointInfo&, const std::string&) { return absl::OkStatus(); };
  EXPECT_EQ(client::LoadCheckpoint(learner.client, run_id, any, nullptr).status().code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(
      client::SaveCheckpoint(learner.client, learner_claim.epoch(), checkpoint, "state", nullptr)
          .ok());
  const auto loaded = client::LoadCheckpoint(learner.client, run_id, any, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->second, "state");
  EXPECT_EQ(loaded->first.counters(), "counters");

  // candidates, a complete batch, a question
  const std::vector<std::string> clips = broker.Upload(run_id, 0, 8);
  ASSERT_EQ(clips.size(), 8u);
  v1::CompleteBatchRequest complete;
  complete.set_run_id(run_id);
  complete.set_epoch(learner_claim.epoch());
  complete.set_iteration(0);
  complete.set_steps(8192);
  ASSERT_TRUE(learner.Call(learner.claims, &v1::ClaimService::Stub::CompleteBatch, complete).ok());
  v1::ListCandidatesRequest list;
  list.set_run_id(run_id);
  list.set_limit(100);
  list.set_after_iteration(-1);
  const auto candidates =
      trainer.ReadAll<v1::Candidate>(trainer.clips, &v1::ClipService::Stub::ListCandidates, list);
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  ASSERT_EQ(candidates->size(), 8u);
  for (int i = 0; i < 8; ++i) EXPECT_EQ((*candidates)[i].clip_id(), clips[i]);
  EXPECT_EQ((*candidates)[3].clip().observations_size(), 8);
  const auto opened = broker.Open(run_id, trainer_claim.epoch(), 0, {clips[0], clips[1]});
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_EQ(opened->questions_size(), 1);
  EXPECT_TRUE(opened->opened());
  EXPECT_EQ(opened->questions(0).purpose(), v1::TRAIN);
  EXPECT_EQ(opened->questions(0).overlap(), 1);

  // a teacher answers
  const Peer& teacher = broker.As(Role::kTeacher);
  const auto leased = teacher.Call(teacher.labeling, &v1::LabelingService::Stub::Lease,
                                   Parse<v1::LeaseRequest>("wait_ms: 5000"));
  ASSERT_TRUE(leased.ok()) << leased.status();
  ASSERT_EQ(leased->questions_size(), 1);
  const v1::Question& question = leased->questions(0);
  EXPECT_EQ(question.text(), "Which is better?");
  ASSERT_EQ(question.clips_size(), 2);
  ASSERT_EQ(question.clips(0).true_rewards_size(), 3);
  v1::SubmitRequest submit;
  submit.set_lease_id(question.lease_id());
  submit.set_idempotency_key(NewId());
  // clip 1 has the larger true reward: clip_ids[1], whatever its side
  const bool right = question.clips(1).true_rewards(0) > question.clips(0).true_rewards(0);
  submit.mutable_answer()->set_choice(right ? v1::RIGHT : v1::LEFT);
  const auto label = teacher.Call(teacher.labeling, &v1::LabelingService::Stub::Submit, submit);
  ASSERT_TRUE(label.ok()) << label.status();
  EXPECT_FALSE(label->surplus());

  // and the trainer hears of it
  const auto context = trainer.client.StreamContext();
  const auto feed = trainer.training->FollowLabels(
      context.get(),
      Parse<v1::FollowLabelsRequest>("from_position: 1 run_id: " + std::to_string(run_id)));
  v1::LabelFeedMessage message;
  std::vector<v1::LabelFeedMessage> messages;
  while (messages.empty() || !messages.back().has_entry()) {
    ASSERT_TRUE(feed->Read(&message));
    if (!message.has_caught_up()) messages.push_back(message);
  }
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0].clip().clip_id(), clips[0]);
  EXPECT_EQ(messages[1].clip().clip_id(), clips[1]);
  EXPECT_EQ(messages[2].entry().position(), 1);
  EXPECT_EQ(messages[2].entry().answer().choice(), v1::RIGHT);
  context->TryCancel();

  // which tells what it believes of the labeler, by the number that came with the label
  auto belief =
      Parse<v1::ReportReliabilityRequest>("labelers { mean: 0.9 low: 0.8 high: 0.95 labels: 1 }");
  belief.set_run_id(run_id);
  belief.set_epoch(trainer_claim.epoch());
  const auto tell = [&] {
    return trainer.Call(trainer.training, &v1::TrainingService::Stub::ReportReliability, belief);
  };
  belief.mutable_labelers(0)->set_labeler(7);
  EXPECT_EQ(tell().status().code(), absl::StatusCode::kNotFound);
  belief.mutable_labelers(0)->set_labeler(messages[2].entry().labeler());
  ASSERT_TRUE(tell().ok());
  EXPECT_TRUE(tell().ok());  // replaces what it said
  belief.mutable_labelers(0)->set_low(0.92);
  EXPECT_EQ(tell().status().code(), absl::StatusCode::kInvalidArgument);
  belief.mutable_labelers(0)->set_low(0.8);
  belief.set_epoch(trainer_claim.epoch() - 1);
  EXPECT_EQ(tell().status().code(), absl::StatusCode::kAborted);

  // the learner follows rewards, and ends the run
  const auto watch_context = learner.client.StreamContext();
  v1::WatchSnapshotsRequest watch;
  watch.set_run_id(run_id);
  watch.set_kind(v1::REWARD);
  const auto watcher = learner.snapshots->Watch(watch_context.get(), watch);
  info.set_kind(v1::REWARD);
  info.set_iteration(1);
  const auto reward =
      client::PublishSnapshot(trainer.client, trainer_claim.epoch(), info, "ensemble", nullptr);
  ASSERT_TRUE(reward.ok()) << reward.status();
  v1::SnapshotChunk chunk;
  ASSERT_TRUE(watcher->Read(&chunk));
  EXPECT_EQ(chunk.info().iteration(), 1);
  EXPECT_EQ(chunk.data(), "ensemble");
  watch_context->TryCancel();

  auto evaluation = Parse<v1::ReportEvaluationRequest>(R"pb(
    episodes {
      policy_version: 1
      iteration: 0
      steps: 8192
      episode: 0
      true_return: 3
      metrics { key: "turns" value: 1 }
    }
    episodes {
      policy_version: 1
      iteration: 0
      steps: 8192
      episode: 1
      true_return: 5
      metrics { key: "turns" value: 2 }
    })pb");
  evaluation.set_run_id(run_id);
  const auto reported =
      worker.Call(worker.runs, &v1::RunService::Stub::ReportEvaluation, evaluation);
  ASSERT_TRUE(reported.ok()) << reported.status();
  auto metrics = Parse<v1::ReportMetricsRequest>(
      "iteration: 0 steps: 8192 values { key: 'predicted_return' value: 7 }");
  metrics.set_run_id(run_id);
  metrics.set_epoch(learner_claim.epoch());
  ASSERT_TRUE(learner.Call(learner.runs, &v1::RunService::Stub::ReportMetrics, metrics).ok());
  v1::SetBestRequest best;
  best.set_run_id(run_id);
  best.set_epoch(learner_claim.epoch());
  best.set_version(1);
  ASSERT_TRUE(learner.Call(learner.snapshots, &v1::SnapshotService::Stub::SetBest, best).ok());
  v1::ReleaseClaimRequest release;
  release.set_run_id(run_id);
  release.set_epoch(learner_claim.epoch());
  release.set_finished(true);
  ASSERT_TRUE(learner.Call(learner.claims, &v1::ClaimService::Stub::Release, release).ok());

  const Peer& operator_peer = broker.As(Role::kOperator);
  v1::GetRunRequest get_run;
  get_run.set_run_id(run_id);
  const auto run = operator_peer.Call(operator_peer.runs, &v1::RunService::Stub::Get, get_run);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->state(), v1::FINISHED);
  EXPECT_EQ(run->labels(), 1);
  EXPECT_EQ(run->questions(), 1);
  EXPECT_EQ(run->iterations(), 1);
  EXPECT_EQ(run->best_version(), 1);
  EXPECT_EQ(run->metrics().at("true_return"), 4);
  EXPECT_EQ(run->metrics().at("turns"), 1.5);
  EXPECT_EQ(run->metrics().at("predicted_return"), 7);
  v1::ExportRequest export_request;
  export_request.set_run_id(run_id);
  const auto exported = operator_peer.ReadAll<v1::ExportedLabel>(
      operator_peer.labeling, &v1::LabelingService::Stub::Export, export_request);
  ASSERT_TRUE(exported.ok()) << exported.status();
  ASSERT_EQ(exported->size(), 1u);
  EXPECT_EQ((*exported)[0].labeler(), "teacher");
  EXPECT_EQ((*exported)[0].answer().choice(), submit.answer().choice());
}

}  // namespace
}  // namespace backflip::testing
