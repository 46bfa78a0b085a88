// Runs, claims, rounds, snapshots: what their calls refuse, repeat and wake.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <limits>
#include <map>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/hash.h"
#include "common/client/snapshot_client.h"
#include "services/preference_broker/store/runs/claims.h"
#include "services/preference_broker/store/runs/clips.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::HasSubstr;
using Runs = v1::RunService::Stub;
using Claims = v1::ClaimService::Stub;

class RunsTest : public ::testing::Test {
 protected:
  v1::CreateRunRequest ARun(const std::string& spec = "") {
    EXPECT_TRUE(client::PutBundle(operator_.client, "bundle").ok());
    v1::CreateRunRequest request;
    request.set_request_id(NewId());
    *request.mutable_spec() = Parse<v1::RunSpec>(spec);
    *request.mutable_task() = TestTask(base::Sha256Hex("bundle"), true);
    return request;
  }
  absl::StatusOr<v1::Run> Create(const v1::CreateRunRequest& request) {
    return operator_.Call(operator_.runs, &Runs::Create, request);
  }
  absl::StatusOr<v1::Run> Get(int64_t id) {
    v1::GetRunRequest request;
    request.set_run_id(id);
    return operator_.Call(operator_.runs, &Runs::Get, request);
  }
  absl::StatusOr<v1::CompleteBatchResponse> Complete(const v1::ClaimResponse& claim,
                                                     int64_t iteration) {
    v1::CompleteBatchRequest request;
    request.set_run_id(claim.run().id());
    request.set_epoch(claim.epoch());
    request.set_iteration(iteration);
    request.set_steps(100 * (iteration + 1));
    return learner_.Call(learner_.claims, &Claims::CompleteBatch, request);
  }
  absl::StatusOr<v1::RenewClaimResponse> Want(const v1::ClaimResponse& claim, int64_t steps) {
    v1::RenewClaimRequest renew;
    renew.set_run_id(claim.run().id());
    renew.set_epoch(claim.epoch());
    renew.set_wanted_steps(steps);
    return learner_.Call(learner_.claims, &Claims::Renew, renew);
  }
  // The run that a worker with one thread is sent to; 0: none.
  int64_t Assign(const std::string& worker, int wait_ms = 0) {
    v1::AssignWorkRequest request;
    request.set_worker(worker);
    request.set_threads(1);
    request.set_wait_ms(wait_ms);
    const auto assignment = worker_.Call(worker_.work, &v1::WorkService::Stub::AssignWork, request);
    EXPECT_TRUE(assignment.ok()) << assignment.status();
    return assignment->run_id();
  }
  absl::StatusOr<v1::ReleaseClaimResponse> Release(const Peer& peer, const v1::ClaimResponse& claim,
                                                   bool finished = false,
                                                   const std::string& failure = "") {
    v1::ReleaseClaimRequest request;
    request.set_run_id(claim.run().id());
    request.set_epoch(claim.epoch());
    request.set_finished(finished);
    request.set_failure(failure);
    return peer.Call(peer.claims, &Claims::Release, request);
  }
  absl::StatusOr<v1::Run> Cancel(int64_t id, bool pause) {
    v1::CancelRunRequest request;
    request.set_run_id(id);
    request.set_pause(pause);
    return operator_.Call(operator_.runs, &Runs::Cancel, request);
  }
  // The newest checkpoint but those with the bytes `unusable`.
  absl::StatusOr<std::pair<v1::CheckpointInfo, std::string>> Load(
      const Peer& peer, int64_t run_id, const std::string& unusable = "") {
    const auto check = [&](const v1::CheckpointInfo&, const std::string& bytes) {
      return bytes == unusable ? absl::InvalidArgumentError("unusable") : absl::OkStatus();
    };
    return client::LoadCheckpoint(peer.client, run_id, check, nullptr);
  }
  // Whatever a learner gets at once.
  v1::ClaimResponse TryToClaim() {
    v1::ClaimRequest request;
    request.set_claimant(NewId());
    request.set_advertise("here");
    return learner_.Call(learner_.claims, &Claims::Claim, request).value();
  }
  // Runs whose last claims came to nothing have rested.
  void LetRest() {
    Query(broker_.database(),
          "UPDATE claims SET expires_at = least(expires_at, now()) - interval '1 hour', "
          "released_at = released_at - interval '1 hour' "
          "WHERE released_at IS NOT NULL OR expires_at <= now()");
  }
  void ExpireClaims() {
    Query(broker_.database(), "UPDATE claims SET expires_at = now() - interval '1 second'");
  }

  TestBroker broker_;
  Peer& operator_ = broker_.As(Role::kOperator);
  Peer& learner_ = broker_.As(Role::kLearner);
  Peer& trainer_ = broker_.As(Role::kTrainer);
  Peer& worker_ = broker_.As(Role::kWorker);
};

TEST_F(RunsTest, CreateIsIdempotentByRequestId) {
  const v1::CreateRunRequest request = ARun("labels: 10");
  const auto first = Create(request);
  const auto again = Create(request);
  ASSERT_TRUE(first.ok() && again.ok()) << first.status() << again.status();
  EXPECT_EQ(first->id(), again->id());
  v1::CreateRunRequest other = request;
  other.mutable_spec()->set_labels(11);
  EXPECT_EQ(Code(Create(other)), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Query(broker_.database(), "SELECT count(*) FROM runs"), "1");
}

TEST_F(RunsTest, CreateRefusesWhatCannotRun) {
  const auto spec = Create(ARun("labels: 0"));
  EXPECT_EQ(Code(spec), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(spec), HasSubstr("labels"));
  v1::CreateRunRequest request = ARun();
  request.mutable_task()->set_bundle_hash(std::string(64, 'a'));
  EXPECT_EQ(Code(Create(request)), absl::StatusCode::kNotFound);
  request = ARun("reward: TRUE");
  request.mutable_task()->set_has_true_reward(false);
  EXPECT_EQ(Code(Create(request)), absl::StatusCode::kFailedPrecondition);
  request = ARun();
  request.mutable_task()->set_observation_size(-1);
  const auto task = Create(request);
  EXPECT_EQ(Code(task), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(task), HasSubstr("observation_size"));
  request = ARun();
  request.mutable_task()->set_step_seconds(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(Code(Create(request)), absl::StatusCode::kInvalidArgument);
  // three steps of a clip, of two in a batch
  const auto clip = Create(ARun("collection { environments: 4096 batch_steps: 8192 }"));
  EXPECT_EQ(Code(clip), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(clip), HasSubstr("has 3 steps, and an environment gives 2 to a batch"));
  request = ARun();
  request.set_request_id("short");
  EXPECT_EQ(Code(Create(request)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Query(broker_.database(), "SELECT count(*) FROM runs"), "0");
}

TEST_F(RunsTest, WatchAnswersWithinMomentsOfACompleteBatch) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
  v1::WatchRunRequest watch;
  watch.set_run_id(claim.run().id());
  watch.set_since_revision(Get(claim.run().id())->revision());
  watch.set_wait_ms(20'000);
  absl::StatusOr<v1::Run> seen;
  absl::Time answered;
  std::thread watcher([&] {
    seen = trainer_.Call(trainer_.runs, &Runs::Watch, watch);
    answered = absl::Now();
  });
  ASSERT_TRUE(Complete(claim, 0).ok());
  watcher.join();
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->iterations(), 1);
  EXPECT_EQ(seen->steps(), 100);
}

TEST_F(RunsTest, WatchIsWokenThroughAnotherBroker) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
  preference_broker::BrokerOptions options;
  options.database = broker_.database();
  TestBroker other(options);
  Peer& watcher_peer = other.As(Role::kTrainer);
  v1::WatchRunRequest watch;
  watch.set_run_id(claim.run().id());
  watch.set_since_revision(Get(claim.run().id())->revision());
  watch.set_wait_ms(20'000);
  absl::StatusOr<v1::Run> seen;
  std::thread watcher([&] { seen = watcher_peer.Call(watcher_peer.runs, &Runs::Watch, watch); });
  ASSERT_TRUE(Complete(claim, 0).ok());
  watcher.join();
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->iterations(), 1);
}

TEST_F(RunsTest, WatchReturnsTheUnchangedRunWhenTimeIsUp) {
  const auto run = Create(ARun());
  v1::WatchRunRequest watch;
  watch.set_run_id(run->id());
  watch.set_since_revision(run->revision());
  watch.set_wait_ms(50);
  const auto seen = operator_.Call(operator_.runs, &Runs::Watch, watch);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->revision(), run->revision());
  watch.set_wait_ms(60'000);
  EXPECT_EQ(Code(operator_.Call(operator_.runs, &Runs::Watch, watch)),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(RunsTest, CompleteBatchIsMonotone) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
  ASSERT_TRUE(Complete(claim, 3).ok());
  ASSERT_TRUE(Complete(claim, 1).ok());
  const auto run = Get(claim.run().id());
  EXPECT_EQ(run->iterations(), 4);
  EXPECT_EQ(run->steps(), 400);
}

TEST_F(RunsTest, ALaterClaimFencesTheWritesOfAnEarlierOne) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse old_learner = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse old_trainer = broker_.Claim(Role::kTrainer);
  const int64_t run_id = old_learner.run().id();
  v1::ClaimRequest another;
  another.set_claimant("another process");
  another.set_advertise("b:1");
  EXPECT_FALSE(learner_.Call(learner_.claims, &Claims::Claim, another)->has_run());
  ExpireClaims();
  // nobody has taken over: it goes on
  ASSERT_TRUE(Complete(old_learner, 0).ok());
  const v1::ClaimResponse new_learner = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse new_trainer = broker_.Claim(Role::kTrainer);
  EXPECT_GT(new_learner.epoch(), old_learner.epoch());
  EXPECT_NE(new_learner.collect_token(), old_learner.collect_token());

  const auto aborted = absl::StatusCode::kAborted;
  EXPECT_EQ(Code(Complete(old_learner, 5)), aborted);
  EXPECT_EQ(Code(Release(learner_, old_learner, true)), aborted);
  EXPECT_TRUE(Release(learner_, old_learner).ok());
  v1::RenewClaimRequest renew;
  renew.set_run_id(run_id);
  renew.set_epoch(old_learner.epoch());
  EXPECT_EQ(Code(learner_.Call(learner_.claims, &Claims::Renew, renew)), aborted);
  v1::SnapshotInfo info;
  info.set_run_id(run_id);
  info.set_kind(v1::POLICY);
  EXPECT_EQ(Code(client::PublishSnapshot(learner_.client, old_learner.epoch(), info, "w", nullptr)),
            aborted);
  v1::CheckpointInfo checkpoint;
  checkpoint.set_run_id(run_id);
  EXPECT_EQ(
      client::SaveCheckpoint(learner_.client, old_learner.epoch(), checkpoint, "c", nullptr).code(),
      aborted);
  EXPECT_EQ(Code(broker_.Open(run_id, old_trainer.epoch(), 0, {})), aborted);
  auto metrics = Parse<v1::ReportMetricsRequest>("values { key: 'predicted_return' value: 1 }");
  metrics.set_run_id(run_id);
  metrics.set_epoch(old_learner.epoch());
  EXPECT_EQ(Code(learner_.Call(learner_.runs, &Runs::ReportMetrics, metrics)), aborted);
  v1::SetBestRequest best;
  best.set_run_id(run_id);
  best.set_epoch(old_learner.epoch());
  EXPECT_EQ(Code(learner_.Call(learner_.snapshots, &v1::SnapshotService::Stub::SetBest, best)),
            aborted);
  EXPECT_EQ(Get(run_id)->iterations(), 1);
  EXPECT_EQ(Query(broker_.database(), "SELECT count(*) FROM snapshots"), "0");
  EXPECT_TRUE(Complete(new_learner, 5).ok());
}

TEST_F(RunsTest, ClaimingAgainReturnsTheLiveClaim) {
  ASSERT_TRUE(Create(ARun()).ok());
  v1::ClaimRequest request;
  request.set_claimant("one process");
  request.set_advertise("a:1");
  const auto first = learner_.Call(learner_.claims, &Claims::Claim, request);
  const auto again = learner_.Call(learner_.claims, &Claims::Claim, request);
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first->epoch(), again->epoch());
  EXPECT_EQ(first->collect_token(), again->collect_token());
}

TEST_F(RunsTest, ManyClaimantsGetOneClaim) {
  ASSERT_TRUE(Create(ARun()).ok());
  std::atomic<int> claims{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      v1::ClaimRequest request;
      request.set_claimant(absl::StrCat("process ", i));
      request.set_advertise("a:1");
      const auto claim = learner_.Call(learner_.claims, &Claims::Claim, request);
      ASSERT_TRUE(claim.ok()) << claim.status();
      claims += claim->has_run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(claims, 1);
}

TEST_F(RunsTest, ARunGivenBackIsQueuedOnceNobodyServesIt) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse learner = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse trainer = broker_.Claim(Role::kTrainer);
  const int64_t id = learner.run().id();
  ASSERT_TRUE(Release(learner_, learner).ok());
  EXPECT_EQ(Get(id)->state(), v1::RUNNING);
  EXPECT_EQ(Get(id)->limit(), v1::LIMIT_LEARNER);
  ASSERT_TRUE(Release(trainer_, trainer).ok());
  EXPECT_EQ(Get(id)->state(), v1::QUEUED);
  const v1::ClaimResponse again = broker_.Claim(Role::kLearner);
  EXPECT_EQ(again.run().id(), id);
  ASSERT_TRUE(Release(learner_, again, false, "the policy is not a number").ok());
  EXPECT_EQ(Get(id)->state(), v1::FAILED);
  EXPECT_EQ(Get(id)->message(), "the policy is not a number");
}

TEST_F(RunsTest, PausedFinishedAndCancelledRunsGoOnWhenContinued) {
  const auto created = Create(ARun("labels: 10 steps: 100000"));
  const int64_t id = created->id();
  v1::ContinueRunRequest request;
  request.set_request_id(NewId());
  request.set_run_id(id);
  request.set_add_labels(5);
  EXPECT_EQ(Code(operator_.Call(operator_.runs, &Runs::Continue, request)),
            absl::StatusCode::kFailedPrecondition);
  const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
  EXPECT_EQ(Cancel(id, true)->state(), v1::PAUSED);
  v1::RenewClaimRequest renew;
  renew.set_run_id(id);
  renew.set_epoch(claim.epoch());
  EXPECT_EQ(learner_.Call(learner_.claims, &Claims::Renew, renew)->state(), v1::PAUSED);
  ASSERT_TRUE(Release(learner_, claim).ok());
  EXPECT_EQ(Get(id)->state(), v1::PAUSED);
  for (int i = 0; i < 2; ++i) {
    const auto continued = operator_.Call(operator_.runs, &Runs::Continue, request);
    ASSERT_TRUE(continued.ok()) << continued.status();
    EXPECT_EQ(continued->state(), v1::QUEUED);
    EXPECT_EQ(continued->spec().labels(), 15);
  }
  EXPECT_EQ(Cancel(id, false)->state(), v1::CANCELLED);
  EXPECT_EQ(Cancel(id, false)->state(), v1::CANCELLED);
  EXPECT_GT(Get(id)->finished_ms(), 0);
  request.set_request_id(NewId());
  request.set_add_labels(2'000'000);
  EXPECT_EQ(Code(operator_.Call(operator_.runs, &Runs::Continue, request)),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Get(id)->spec().labels(), 15);
}

TEST_F(RunsTest, ANewRunIsResolvedFromItsLayersWhoeverQueuesIt) {
  v1::CreateRunRequest request = ARun("labels: 100");
  *request.mutable_task()->mutable_defaults() = Parse<v1::RunSpec>("labels: 50 steps: 200000");
  const auto plain = Create(request);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->spec().labels(), 100);
  EXPECT_EQ(plain->spec().steps(), 200'000);
  EXPECT_EQ(plain->spec().collection().batch_steps(), 8192);
  EXPECT_TRUE(plain->spec().lockstep());

  request.set_request_id(NewId());
  request.set_people(true);
  const auto peoples = Create(request);
  ASSERT_TRUE(peoples.ok()) << peoples.status();
  EXPECT_FALSE(peoples->spec().lockstep());
  EXPECT_EQ(peoples->spec().collection().batch_steps(), 4096);
  EXPECT_EQ(peoples->spec().steps_per_label(), 2000);
  EXPECT_EQ(peoples->spec().warm_up_labels(), 100);
}

TEST_F(RunsTest, ARunOfAnOlderVersionHasTheDefaultsOfOptionsThatItDoesNotStore) {
  const int64_t id = Create(ARun("labels: 10"))->id();
  v1::RunSpec older = Get(id)->spec();
  older.mutable_ppo()->clear_min_log_std();
  older.mutable_queries()->clear_first_labels();
  Query(broker_.database(),
        absl::StrCat("UPDATE runs SET spec = decode('",
                     absl::BytesToHexString(older.SerializeAsString()), "', 'hex')"));
  const v1::RunSpec learned = broker_.Claim(Role::kLearner).run().spec();
  EXPECT_EQ(learned.labels(), 10);
  EXPECT_EQ(learned.ppo().min_log_std(), -0.7);
  EXPECT_EQ(learned.queries().first_labels(), 30);
  EXPECT_EQ(Cancel(id, true)->state(), v1::PAUSED);
  v1::ContinueRunRequest request;
  request.set_request_id(NewId());
  request.set_run_id(id);
  const auto continued = operator_.Call(operator_.runs, &Runs::Continue, request);
  ASSERT_TRUE(continued.ok()) << continued.status();
  EXPECT_EQ(continued->spec().ppo().min_log_std(), -0.7);
}

TEST_F(RunsTest, OnlyAContinuedRunWhoseAskingWasStoppedWarmsUpNoMore) {
  const int64_t id =
      Create(ARun("labels: 10 lockstep: false steps_per_label: 100 warm_up_labels: 10"))->id();
  const auto go_on = [&] {
    EXPECT_EQ(Cancel(id, true)->state(), v1::PAUSED);
    v1::ContinueRunRequest request;
    request.set_request_id(NewId());
    request.set_run_id(id);
    return operator_.Call(operator_.runs, &Runs::Continue, request)->spec().warm_up_labels();
  };
  EXPECT_EQ(go_on(), 10);
  v1::StopAskingRequest stop;
  stop.set_run_id(id);
  ASSERT_TRUE(operator_.Call(operator_.runs, &Runs::StopAsking, stop).ok());
  EXPECT_EQ(go_on(), 0) << "its labels have earned all their steps";
}

TEST_F(RunsTest, ATrueRewardRunWantsNoTrainerAndNoClips) {
  const auto run = Create(ARun("reward: TRUE"));
  ASSERT_TRUE(run.ok()) << run.status();
  v1::ClaimRequest request;
  request.set_claimant("trainer");
  EXPECT_FALSE(trainer_.Call(trainer_.claims, &Claims::Claim, request)->has_run());
  EXPECT_EQ(broker_.Claim(Role::kLearner).run().id(), run->id());
  v1::UploadClipsRequest upload;
  upload.set_run_id(run->id());
  EXPECT_EQ(Code(worker_.Call(worker_.clips, &v1::ClipService::Stub::Upload, upload)),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(RunsTest, ARunThatKillsItsLearnersKeepsNoOtherFromBeingServed) {
  const auto deadly = Create(ARun());
  const auto healthy = Create(ARun());
  EXPECT_EQ(broker_.Claim(Role::kLearner).run().id(), deadly->id());
  ExpireClaims();
  EXPECT_EQ(broker_.Claim(Role::kLearner).run().id(), healthy->id()) << "it did nothing wrong";
  // its learner lives: the deadly one's turn again, and again, after pauses
  for (int death = 2; death <= preference_broker::kMostAttempts; ++death) {
    EXPECT_EQ(Get(deadly->id())->state(), v1::RUNNING);
    const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
    EXPECT_EQ(claim.run().id(), deadly->id());
    Query(broker_.database(),
          absl::StrCat("UPDATE claims SET expires_at = now() - interval '1 second' WHERE run_id = ",
                       deadly->id()));
    if (death < preference_broker::kMostAttempts) {
      EXPECT_FALSE(TryToClaim().has_run()) << "it rests";
      LetRest();
    }
  }
  LetRest();
  EXPECT_FALSE(TryToClaim().has_run());
  EXPECT_EQ(Get(deadly->id())->state(), v1::FAILED);
  EXPECT_THAT(Get(deadly->id())->message(), HasSubstr("ended or was lost 5 times in a row"));
  // whoever continues it has mended something
  v1::ContinueRunRequest again;
  again.set_request_id(NewId());
  again.set_run_id(deadly->id());
  ASSERT_TRUE(operator_.Call(operator_.runs, &Runs::Continue, again).ok());
  EXPECT_EQ(broker_.Claim(Role::kLearner).run().id(), deadly->id());
}

TEST_F(RunsTest, ALearnerThatGetsFurtherMayDieAgain) {
  const auto run = Create(ARun());
  for (int death = 0; death < 2 * preference_broker::kMostAttempts; ++death) {
    const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
    ASSERT_EQ(claim.run().id(), run->id());
    ASSERT_TRUE(Complete(claim, death).ok());
    ExpireClaims();
  }
  EXPECT_EQ(Get(run->id())->state(), v1::RUNNING);
}

TEST_F(RunsTest, ARunThatIsGivenBackForTroubleAgainAndAgainFailsWithIt) {
  const auto run = Create(ARun());
  for (int i = 0; i < preference_broker::kMostAttempts; ++i) {
    EXPECT_EQ(Get(run->id())->message(), "");
    const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
    v1::ReleaseClaimRequest release;
    release.set_run_id(run->id());
    release.set_epoch(claim.epoch());
    release.set_trouble("a wall");
    ASSERT_TRUE(learner_.Call(learner_.claims, &Claims::Release, release).ok());
    LetRest();
  }
  EXPECT_EQ(Get(run->id())->state(), v1::FAILED);
  EXPECT_THAT(Get(run->id())->message(), HasSubstr("given back 5 times in a row: a wall"));
}

TEST_F(RunsTest, ARunThatNoWorkerCanServeFailsWithTheirReason) {
  const auto run = Create(ARun());
  const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
  ASSERT_TRUE(Want(claim, 1000).ok());
  const auto fail = [&](const std::string& worker) {
    EXPECT_EQ(Assign(worker), run->id());
    v1::AssignWorkRequest request;
    request.set_worker(worker);
    request.set_threads(1);
    request.set_failed_run_id(run->id());
    request.set_failure("no such mesh");
    const auto next = worker_.Call(worker_.work, &v1::WorkService::Stub::AssignWork, request);
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_EQ(next->run_id(), 0) << "not at once";
  };
  EXPECT_EQ(Assign("able"), run->id());
  for (const char* worker : {"a", "b", "c"}) fail(worker);
  EXPECT_EQ(Get(run->id())->state(), v1::RUNNING) << "one worker serves it";
  Query(broker_.database(), "DELETE FROM assignments WHERE worker = 'able'");
  fail("d");
  EXPECT_EQ(Get(run->id())->state(), v1::FAILED);
  EXPECT_THAT(Get(run->id())->message(), HasSubstr("no worker can serve this run: no such mesh"));
}

TEST_F(RunsTest, AWorkerThatDiedDoesNotCountAsOne) {
  ASSERT_TRUE(Create(ARun()).ok());
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse first = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse second = broker_.Claim(Role::kLearner);
  ASSERT_TRUE(Want(first, 1000).ok());
  ASSERT_TRUE(Want(second, 1000).ok());
  EXPECT_EQ(Assign("a"), first.run().id());
  EXPECT_EQ(Assign("b"), second.run().id());
  // nobody has heard of them for longer than a worker waits
  Query(broker_.database(),
        "UPDATE assignments SET assigned_at = now() - interval '1 minute' WHERE worker = 'a'");
  EXPECT_EQ(Assign("c"), first.run().id());
}

TEST_F(RunsTest, WorkersGoWhereStepsAreWantedMost) {
  ASSERT_TRUE(Create(ARun()).ok());
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse first = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse second = broker_.Claim(Role::kLearner);
  EXPECT_EQ(Assign("a"), 0);
  int64_t waited = 0;
  std::thread waiter([&] { waited = Assign("a", 20'000); });
  EXPECT_TRUE(Want(first, 2000).ok());
  waiter.join();
  EXPECT_EQ(waited, first.run().id());
  ASSERT_TRUE(Want(second, 1500).ok());
  EXPECT_EQ(Assign("b"), second.run().id());
  EXPECT_EQ(Assign("c"), first.run().id());
  EXPECT_EQ(Assign("d"), second.run().id());
}

TEST_F(RunsTest, AScalerReadsFromOneViewWhatIsWantedNow) {
  const auto wanted = [this] {
    return Query(broker_.database(),
                 "SELECT coalesce(string_agg(run_id || ': ' || steps || ' by ' || threads, ', ' "
                 "ORDER BY run_id), 'nothing') FROM wanted_work");
  };
  ASSERT_TRUE(Create(ARun()).ok());
  ASSERT_TRUE(Create(ARun()).ok());
  EXPECT_EQ(wanted(), "nothing") << "no learner has them";
  const v1::ClaimResponse first = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse second = broker_.Claim(Role::kLearner);
  EXPECT_EQ(wanted(), "nothing") << "none wants steps";
  ASSERT_TRUE(Want(first, 2000).ok());
  ASSERT_TRUE(Want(second, 1000).ok());
  EXPECT_EQ(Assign("a"), first.run().id());
  EXPECT_EQ(wanted(),
            absl::StrCat(first.run().id(), ": 2000 by 1, ", second.run().id(), ": 1000 by 0"));
  ASSERT_TRUE(Want(first, 0).ok());
  ASSERT_TRUE(Cancel(second.run().id(), /*pause=*/true).ok());
  EXPECT_EQ(wanted(), "nothing");
  ASSERT_TRUE(Want(first, 500).ok());
  EXPECT_EQ(wanted(), absl::StrCat(first.run().id(), ": 500 by 1"));
  Query(broker_.database(), "UPDATE claims SET expires_at = now()");
  EXPECT_EQ(wanted(), "nothing") << "its learner is lost";
}

TEST_F(RunsTest, WorkersThatAskAtTheSameMomentAreSpreadOverTheRuns) {
  constexpr int kWorkers = 12;
  ASSERT_TRUE(Create(ARun()).ok());
  ASSERT_TRUE(Create(ARun()).ok());
  std::map<int64_t, std::atomic<int>> served;
  for (int i = 0; i < 2; ++i) {
    const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
    served[claim.run().id()] = 0;
    ASSERT_TRUE(Want(claim, 1000).ok());
  }
  std::latch together(kWorkers);
  std::vector<std::thread> workers;
  for (int i = 0; i < kWorkers; ++i) {
    workers.emplace_back([&, i] {
      together.arrive_and_wait();
      ++served.at(Assign(absl::StrCat("worker ", i)));
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (const auto& [run, count] : served) EXPECT_EQ(count, kWorkers / 2) << "run " << run;
}

TEST_F(RunsTest, ARoundIsOpenedOnce) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse claim = broker_.Claim(Role::kTrainer);
  const int64_t id = claim.run().id();
  const std::vector<std::string> clips = broker_.Upload(id, 0, 8);
  const auto first = broker_.Open(id, claim.epoch(), 2, {clips[0], clips[1], clips[2], clips[3]});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->opened());
  const auto again = broker_.Open(id, claim.epoch(), 2, {clips[4], clips[5]});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->opened());
  ASSERT_EQ(again->questions_size(), 2);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(again->questions(i).SerializeAsString(), first->questions(i).SerializeAsString());
  EXPECT_EQ(again->questions(1).ordinal(), 1);
  EXPECT_EQ(again->questions(1).clip_ids(1), clips[3]);
  // a round may be empty, and stays so
  EXPECT_TRUE(broker_.Open(id, claim.epoch(), 3, {})->opened());
  EXPECT_FALSE(broker_.Open(id, claim.epoch(), 3, {clips[4], clips[5]})->opened());
  EXPECT_EQ(Code(broker_.Open(id, claim.epoch(), 1, {clips[4], clips[5]})),
            absl::StatusCode::kFailedPrecondition);
  const auto unknown = broker_.Open(id, claim.epoch(), 4, {clips[4], std::string(64, 'f')});
  EXPECT_EQ(Code(unknown), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(unknown), HasSubstr(std::string(64, 'f')));
  EXPECT_EQ(Code(broker_.Open(id, claim.epoch(), 4, {clips[4], "no id"})),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(broker_.Open(id, claim.epoch(), 4, {clips[4], clips[4]})),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Get(id)->questions(), 2);
  EXPECT_EQ(broker_.Open(id, claim.epoch(), 4, {clips[4], clips[5]})->questions(0).ordinal(), 2);
}

TEST_F(RunsTest, ABadUploadStoresNothing) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse claim = broker_.Claim(Role::kTrainer);
  const int64_t id = claim.run().id();
  const auto upload = [&](const v1::Clip& bad) {
    v1::UploadClipsRequest request;
    request.set_run_id(id);
    *request.add_clips() = TestClip(1, 0, 0, 0);
    *request.add_clips() = bad;
    return worker_.Call(worker_.clips, &v1::ClipService::Stub::Upload, request);
  };
  const auto refused = [&](const v1::Clip& bad, const std::string& field) {
    const auto response = upload(bad);
    EXPECT_EQ(Code(response), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(Message(response), HasSubstr("clips[1]"));
    EXPECT_THAT(Message(response), HasSubstr(field));
  };
  const v1::Clip good = TestClip(2, 0, 0, 1);
  v1::Clip bad = good;
  bad.set_observations(3, std::numeric_limits<float>::quiet_NaN());
  refused(bad, "observations[3]");
  bad = good;
  bad.set_actions(0, std::numeric_limits<float>::infinity());
  refused(bad, "actions[0]");
  bad = good;
  bad.add_observations(1);
  refused(bad, "observations has 9");
  bad = good;
  bad.set_steps(1'000'000'000);
  refused(bad, "steps");
  bad = good;
  bad.clear_poses();
  refused(bad, "poses");
  bad = good;
  bad.mutable_poses()->set_bodies(1 << 30);
  refused(bad, "bodies");
  bad = good;
  bad.add_states(1);
  refused(bad, "states");
  bad = good;
  bad.clear_true_rewards();
  refused(bad, "true_rewards");
  bad = good;
  bad.set_iteration(-1);
  refused(bad, "iteration");
  v1::UploadClipsRequest large;
  large.set_run_id(id);
  for (int i = 0; i < 200; ++i) {
    v1::Clip* clip = large.add_clips();
    *clip = TestClip(i, 0, 0, i);
    for (int k = 0; k < 500; ++k) {
      for (int s = 0; s < 4; ++s) clip->add_states(k);
    }
  }
  const auto too_large = worker_.Call(worker_.clips, &v1::ClipService::Stub::Upload, large);
  EXPECT_EQ(Code(too_large), absl::StatusCode::kInvalidArgument) << too_large.status();
  v1::UploadClipsRequest unknown;
  unknown.set_run_id(99);
  EXPECT_EQ(Code(worker_.Call(worker_.clips, &v1::ClipService::Stub::Upload, unknown)),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Query(broker_.database(), "SELECT count(*) FROM clips"), "0");
  // the same twice is stored once
  const auto first = upload(good);
  const auto again = upload(good);
  ASSERT_TRUE(first.ok() && again.ok()) << first.status() << again.status();
  EXPECT_EQ(first->clip_ids(1), again->clip_ids(1));
  EXPECT_EQ(Query(broker_.database(), "SELECT count(*) FROM clips"), "2");
}

TEST_F(RunsTest, WantsNoCandidatesOnceAllLabelsAreAskedFor) {
  ASSERT_TRUE(Create(ARun("lockstep: false labels: 2 collection { clips_per_batch: 9 }")).ok());
  const v1::ClaimResponse claim = broker_.Claim(Role::kTrainer);
  const int64_t id = claim.run().id();
  v1::UploadClipsRequest request;
  request.set_run_id(id);
  const auto wanted = [&] {
    return worker_.Call(worker_.clips, &v1::ClipService::Stub::Upload, request)->wanted();
  };
  EXPECT_EQ(wanted(), 9);
  const std::vector<std::string> clips = broker_.Upload(id, 0, 4);
  ASSERT_TRUE(broker_.Open(id, claim.epoch(), 0, {clips[0], clips[1]}).ok());
  EXPECT_EQ(wanted(), 9);
  ASSERT_TRUE(broker_.Open(id, claim.epoch(), 1, {clips[2], clips[3]}).ok());
  EXPECT_EQ(wanted(), 0);
  const Peer& labeler = broker_.As(Role::kLabeler);
  ASSERT_EQ(labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Lease, v1::LeaseRequest())
                ->questions_size(),
            1);
  EXPECT_EQ(wanted(), 0);
}

TEST_F(RunsTest, WantsCandidatesToTheEndInLockstep) {
  ASSERT_TRUE(Create(ARun("lockstep: true labels: 1 collection { clips_per_batch: 9 }")).ok());
  const v1::ClaimResponse claim = broker_.Claim(Role::kTrainer);
  const std::vector<std::string> clips = broker_.Upload(claim.run().id(), 0, 2);
  ASSERT_TRUE(broker_.Open(claim.run().id(), claim.epoch(), 0, {clips[0], clips[1]}).ok());
  v1::UploadClipsRequest request;
  request.set_run_id(claim.run().id());
  EXPECT_EQ(worker_.Call(worker_.clips, &v1::ClipService::Stub::Upload, request)->wanted(), 9);
}

TEST_F(RunsTest, ThePoolKeepsTheNewestAndWhatQuestionsName) {
  ASSERT_TRUE(Create(ARun("queries { pool: 8 }")).ok());
  const v1::ClaimResponse learner = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse claim = broker_.Claim(Role::kTrainer);
  const int64_t id = claim.run().id();
  std::vector<std::vector<std::string>> batches;
  for (int i = 0; i < 20; ++i) batches.push_back(broker_.Upload(id, i, 4));
  ASSERT_TRUE(broker_.Open(id, claim.epoch(), 0, {batches[0][0], batches[0][3]}).ok());
  ASSERT_TRUE(Complete(learner, 19).ok());
  preference_broker::Connection connection(broker_.database(), "test", nullptr);
  ASSERT_TRUE(preference_broker::PruneClips(connection, id).ok());
  // 8 of batches before 8, all since, and the two named
  EXPECT_EQ(Query(broker_.database(), "SELECT count(*) FROM clips"), "58");
  EXPECT_EQ(Query(broker_.database(), "SELECT count(*) FROM clips WHERE iteration = 0"), "2");
  v1::ListCandidatesRequest list;
  list.set_run_id(id);
  list.set_limit(8);
  list.set_max_iteration(7);
  list.set_after_iteration(-1);
  const auto candidates =
      trainer_.ReadAll<v1::Candidate>(trainer_.clips, &v1::ClipService::Stub::ListCandidates, list);
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  ASSERT_EQ(candidates->size(), 8u);
  EXPECT_EQ((*candidates)[0].clip().iteration(), 6);
  EXPECT_EQ((*candidates)[7].clip_id(), batches[7][3]);
}

TEST_F(RunsTest, SnapshotVersionsGrowAndAreNeverReused) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
  v1::SnapshotInfo info;
  info.set_run_id(claim.run().id());
  info.set_kind(v1::POLICY);
  for (int i = 0; i < 70; ++i) {
    info.set_iteration(i);
    info.set_kept(i == 2);
    const auto published = client::PublishSnapshot(learner_.client, claim.epoch(), info,
                                                   absl::StrCat("w", i), nullptr);
    ASSERT_TRUE(published.ok()) << published.status();
    EXPECT_EQ(published->version(), i + 1);
  }
  v1::ListSnapshotsRequest list;
  list.set_run_id(claim.run().id());
  list.set_kind(v1::POLICY);
  const auto all = operator_.Call(operator_.snapshots, &v1::SnapshotService::Stub::List, list);
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->snapshots_size(), 65);  // the newest 64 and the kept one
  EXPECT_EQ(all->snapshots(0).version(), 3);
  // another content for an iteration, as after a restart, is another version
  info.set_iteration(10);
  const auto other =
      client::PublishSnapshot(learner_.client, claim.epoch(), info, "other", nullptr);
  EXPECT_EQ(other->version(), 71);
  v1::GetSnapshotRequest get;
  get.set_run_id(claim.run().id());
  get.set_kind(v1::POLICY);
  get.set_iteration(10);
  EXPECT_EQ(client::GetSnapshot(learner_.client, get, nullptr)->second, "other");
  get.set_iteration(0);
  EXPECT_EQ(Code(client::GetSnapshot(learner_.client, get, nullptr)), absl::StatusCode::kNotFound);
  info.set_kind(v1::REWARD);
  EXPECT_EQ(Code(client::PublishSnapshot(learner_.client, claim.epoch(), info, "w", nullptr)),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(RunsTest, DamagedUploadsAreRefusedAndNotStored) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
  const auto publish = [&](int64_t size, const std::string& hash, const std::string& data) {
    const auto context = learner_.client.UnaryContext();
    v1::SnapshotInfo published;
    const auto writer = learner_.snapshots->Publish(context.get(), &published);
    v1::PublishSnapshotRequest request;
    request.set_epoch(claim.epoch());
    v1::SnapshotInfo* info = request.mutable_chunk()->mutable_info();
    info->set_run_id(claim.run().id());
    info->set_kind(v1::POLICY);
    info->set_size(size);
    info->set_sha256(hash);
    request.mutable_chunk()->set_data(data);
    writer->Write(request);
    writer->WritesDone();
    return static_cast<absl::StatusCode>(writer->Finish().error_code());
  };
  const std::string hash = base::Sha256Hex("abc");
  EXPECT_EQ(publish(3, hash, "abd"), absl::StatusCode::kDataLoss);
  EXPECT_EQ(publish(4, hash, "abc"), absl::StatusCode::kDataLoss);
  EXPECT_EQ(publish(2, hash, "abc"), absl::StatusCode::kDataLoss);
  EXPECT_EQ(publish(-1, hash, "abc"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(publish(int64_t{1} << 40, hash, "abc"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(publish(3, "no hash", "abc"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Query(broker_.database(), "SELECT count(*) FROM snapshots"), "0");
  EXPECT_EQ(publish(3, hash, "abc"), absl::StatusCode::kOk);
}

TEST_F(RunsTest, KeepsTheNewestTwoCheckpointsOfEachRole) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse learner = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse trainer = broker_.Claim(Role::kTrainer);
  v1::CheckpointInfo info;
  info.set_run_id(learner.run().id());
  for (int i = 0; i < 4; ++i) {
    info.set_iteration(10 * i);
    ASSERT_TRUE(client::SaveCheckpoint(learner_.client, learner.epoch(), info, absl::StrCat("l", i),
                                       nullptr)
                    .ok());
  }
  ASSERT_TRUE(client::SaveCheckpoint(trainer_.client, trainer.epoch(), info, "t", nullptr).ok());
  EXPECT_EQ(Query(broker_.database(), "SELECT count(*) FROM checkpoints WHERE role = 'learner'"),
            "2");
  EXPECT_EQ(Load(learner_, info.run_id())->second, "l3");
  EXPECT_EQ(Load(trainer_, info.run_id())->second, "t");
}

TEST_F(RunsTest, ADamagedCheckpointGivesWayToTheOneBefore) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse learner = broker_.Claim(Role::kLearner);
  v1::CheckpointInfo info;
  info.set_run_id(learner.run().id());
  for (const std::string data : {"old", "new"}) {
    info.set_iteration(info.iteration() + 10);
    ASSERT_TRUE(client::SaveCheckpoint(learner_.client, learner.epoch(), info, data, nullptr).ok());
  }
  // its holder cannot use it
  const auto old = Load(learner_, info.run_id(), "new");
  ASSERT_TRUE(old.ok()) << old.status();
  EXPECT_EQ(old->second, "old");
  EXPECT_EQ(old->first.iteration(), 10);
  // or its bytes have rotted
  Query(broker_.database(), "UPDATE checkpoints SET data = 'nex' WHERE iteration = 20");
  EXPECT_EQ(Load(learner_, info.run_id())->second, "old");
  Query(broker_.database(), "UPDATE checkpoints SET data = 'olx' WHERE iteration = 10");
  EXPECT_EQ(Code(Load(learner_, info.run_id())), absl::StatusCode::kDataLoss);
}

TEST_F(RunsTest, ADamagedBundleIsNotAskedForAgain) {
  const v1::CreateRunRequest run = ARun();
  Query(broker_.database(), "UPDATE bundle_chunks SET data = 'bundlx'");
  EXPECT_EQ(Code(client::GetBundle(worker_.client, run.task().bundle_hash(), nullptr)),
            absl::StatusCode::kDataLoss);
}

TEST_F(RunsTest, BundlesOfManyChunksComeBackWhole) {
  std::string bundle;
  for (int i = 0; i < 700'000; ++i) absl::StrAppend(&bundle, i, ",");
  ASSERT_TRUE(client::PutBundle(operator_.client, bundle).ok());
  ASSERT_TRUE(client::PutBundle(operator_.client, bundle).ok());
  EXPECT_EQ(*client::GetBundle(worker_.client, base::Sha256Hex(bundle), nullptr), bundle);
  EXPECT_EQ(Code(client::GetBundle(worker_.client, std::string(64, '0'), nullptr)),
            absl::StatusCode::kNotFound);
}

TEST_F(RunsTest, MetricsHaveAnOwnerAndARange) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse learner = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse trainer = broker_.Claim(Role::kTrainer);
  const int64_t id = learner.run().id();
  const auto report = [&](const Peer& peer, int64_t epoch, const std::string& name, double value,
                          int64_t iteration = 1) {
    v1::ReportMetricsRequest request;
    request.set_run_id(id);
    request.set_epoch(epoch);
    request.set_iteration(iteration);
    (*request.mutable_values())[name] = value;
    return Code(peer.Call(peer.runs, &Runs::ReportMetrics, request));
  };
  EXPECT_EQ(report(learner_, learner.epoch(), "policy/entropy", 1), absl::StatusCode::kOk);
  EXPECT_EQ(report(learner_, learner.epoch(), "policy/entropy", 2), absl::StatusCode::kOk);
  EXPECT_EQ(report(learner_, learner.epoch(), "policy/entropy", 3, 0), absl::StatusCode::kOk);
  EXPECT_EQ(report(trainer_, trainer.epoch(), "reward/accuracy", 0.9), absl::StatusCode::kOk);
  EXPECT_EQ(report(trainer_, trainer.epoch(), "policy/entropy", 1),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(report(learner_, learner.epoch(), "true_return", 1),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(report(learner_, learner.epoch(), "policy/entropy", std::nan("")),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Get(id)->metrics().at("policy/entropy"), 2);
  EXPECT_EQ(Get(id)->metrics().at("reward/accuracy"), 0.9);
  v1::ListMetricsRequest list;
  list.set_run_id(id);
  list.add_names("policy/entropy");
  const auto points = operator_.Call(operator_.runs, &Runs::ListMetrics, list);
  ASSERT_TRUE(points.ok()) << points.status();
  ASSERT_EQ(points->points_size(), 2);
  EXPECT_EQ(points->points(0).value(), 3);
  EXPECT_EQ(points->points(1).value(), 2);
}

TEST_F(RunsTest, EvaluationsAreStoredOnceAndAveragedWithoutFinalOnes) {
  const auto run = Create(ARun());
  auto report = Parse<v1::ReportEvaluationRequest>(R"pb(
    episodes { policy_version: 3 iteration: 2 episode: 0 seed: 18446744073709551615 true_return: 1 }
    episodes { policy_version: 3 iteration: 2 episode: 1 true_return: 3 }
    episodes { policy_version: 3 iteration: 2 episode: 0 true_return: 100 final: true })pb");
  report.set_run_id(run->id());
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(worker_.Call(worker_.runs, &Runs::ReportEvaluation, report).ok());
  EXPECT_EQ(Get(run->id())->metrics().at("true_return"), 2);
  v1::ListEvaluationsRequest list;
  list.set_run_id(run->id());
  const auto evaluations = operator_.Call(operator_.runs, &Runs::ListEvaluations, list);
  ASSERT_EQ(evaluations->episodes_size(), 3);
  EXPECT_EQ(evaluations->episodes(0).seed(), 18446744073709551615u);
  report.mutable_episodes(0)->set_true_return(std::nan(""));
  EXPECT_EQ(Code(worker_.Call(worker_.runs, &Runs::ReportEvaluation, report)),
            absl::StatusCode::kInvalidArgument);
  (*report.mutable_episodes(0)->mutable_metrics())["unknown"] = 1;
  report.mutable_episodes(0)->set_true_return(1);
  EXPECT_EQ(Code(worker_.Call(worker_.runs, &Runs::ReportEvaluation, report)),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(RunsTest, EvaluationsOfAPolicyAreBounded) {
  const auto run = Create(ARun());
  v1::ReportEvaluationRequest report;
  report.set_run_id(run->id());
  for (int i = 0; i < 101; ++i) {
    v1::Evaluation* episode = report.add_episodes();
    episode->set_policy_version(3);
    episode->set_iteration(2);
    episode->set_episode(i % 100);
    episode->set_true_return(1);
  }
  EXPECT_EQ(Code(worker_.Call(worker_.runs, &Runs::ReportEvaluation, report)),
            absl::StatusCode::kInvalidArgument)
      << "so many at once hold the run for as long as they take";
  report.mutable_episodes()->RemoveLast();
  EXPECT_TRUE(worker_.Call(worker_.runs, &Runs::ReportEvaluation, report).ok());
  report.mutable_episodes()->DeleteSubrange(1, 99);
  report.mutable_episodes(0)->set_episode(100);
  EXPECT_EQ(Code(worker_.Call(worker_.runs, &Runs::ReportEvaluation, report)),
            absl::StatusCode::kInvalidArgument)
      << "all of a policy are read again with each that comes";
}

// Everything that a learner or a trainer can read, after true rewards and
// returns that no other number equals.
TEST_F(RunsTest, NoTrueRewardReachesLearnerOrTrainer) {
  ASSERT_TRUE(Create(ARun()).ok());
  const v1::ClaimResponse learner = broker_.Claim(Role::kLearner);
  const v1::ClaimResponse trainer = broker_.Claim(Role::kTrainer);
  const int64_t id = learner.run().id();
  const float marker = 12345.678f;
  const double marker_return = 87654.321;
  const auto holds_marker = [&](const std::string& bytes) {
    return bytes.find(std::string(reinterpret_cast<const char*>(&marker), 4)) !=
               std::string::npos ||
           bytes.find(std::string(reinterpret_cast<const char*>(&marker_return), 8)) !=
               std::string::npos;
  };
  v1::UploadClipsRequest upload;
  upload.set_run_id(id);
  for (int i = 0; i < 2; ++i) {
    v1::Clip* clip = upload.add_clips();
    *clip = TestClip(i, 0, 0, i);
    for (int k = 0; k < 3; ++k) clip->set_true_rewards(k, marker);
  }
  const auto uploaded = worker_.Call(worker_.clips, &v1::ClipService::Stub::Upload, upload);
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  const auto opened =
      broker_.Open(id, trainer.epoch(), 0, {uploaded->clip_ids(0), uploaded->clip_ids(1)});
  const Peer& teacher = broker_.As(Role::kTeacher);
  const auto leased =
      teacher.Call(teacher.labeling, &v1::LabelingService::Stub::Lease, v1::LeaseRequest());
  ASSERT_TRUE(holds_marker(leased->SerializeAsString()))
      << "the marker does not even reach a teacher";
  v1::SubmitRequest submit = AnswerTo(leased->questions(0).lease_id(), v1::TIE);
  ASSERT_TRUE(teacher.Call(teacher.labeling, &v1::LabelingService::Stub::Submit, submit).ok());
  v1::ReportEvaluationRequest report;
  report.set_run_id(id);
  report.add_episodes()->set_true_return(marker_return);
  ASSERT_TRUE(worker_.Call(worker_.runs, &Runs::ReportEvaluation, report).ok());
  ASSERT_TRUE(holds_marker(Get(id)->SerializeAsString()))
      << "the marker does not even reach an operator";

  std::string seen = opened->SerializeAsString() + uploaded->SerializeAsString();
  v1::ListCandidatesRequest list;
  list.set_run_id(id);
  list.set_limit(10);
  list.set_after_iteration(-1);
  const auto candidates =
      trainer_.ReadAll<v1::Candidate>(trainer_.clips, &v1::ClipService::Stub::ListCandidates, list);
  ASSERT_EQ(candidates->size(), 2u);
  for (const v1::Candidate& candidate : *candidates) {
    EXPECT_EQ(candidate.clip().true_rewards_size() + candidate.clip().states_size(), 0);
    EXPECT_FALSE(candidate.clip().has_poses());
    seen += candidate.SerializeAsString();
  }
  const auto context = trainer_.client.UnaryContext(absl::Seconds(30));
  v1::FollowLabelsRequest follow;
  follow.set_run_id(id);
  follow.set_from_position(1);
  const auto feed = trainer_.training->FollowLabels(context.get(), follow);
  v1::LabelFeedMessage message;
  while (feed->Read(&message)) {
    seen += message.SerializeAsString();
    if (message.has_entry()) break;
  }
  context->TryCancel();
  for (const Peer* peer : {&learner_, &trainer_}) {
    v1::GetRunRequest get;
    get.set_run_id(id);
    const auto got = peer->Call(peer->runs, &Runs::Get, get);
    EXPECT_TRUE(got->metrics().empty());
    seen += got->SerializeAsString();
    v1::WatchRunRequest watch;
    watch.set_run_id(id);
    seen += peer->Call(peer->runs, &Runs::Watch, watch)->SerializeAsString();
  }
  v1::ClaimRequest again;
  again.set_advertise("a:1");
  again.set_claimant("later");
  ExpireClaims();
  seen += learner_.Call(learner_.claims, &Claims::Claim, again)->SerializeAsString();
  seen += trainer_.Call(trainer_.claims, &Claims::Claim, again)->SerializeAsString();
  EXPECT_FALSE(holds_marker(seen));
}

}  // namespace
}  // namespace backflip::testing
