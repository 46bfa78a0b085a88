// Workers against a learner's end and a broker in this process, over gRPC.
#include "services/rollout_worker/rollout_worker.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/nn/snapshot.h"
#include "common/rpc/collect_token.h"
#include "common/rpc/server.h"
#include "common/sim/task.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/policy_learner/collector.h"
#include "services/policy_learner/policy_learner_service.h"

namespace backflip::rollout_worker {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

bool Never() { return false; }

// As much of a broker as workers see.
class FakeBroker : public v1::WorkService::Service,
                   public v1::BundleService::Service,
                   public v1::ClipService::Service,
                   public v1::RunService::Service {
 public:
  explicit FakeBroker(std::string bundle) : bundle_(std::move(bundle)) {
    server_ = *rpc::Server::Start({.listen = "127.0.0.1:0",
                                   .services = {static_cast<v1::WorkService::Service*>(this),
                                                static_cast<v1::BundleService::Service*>(this),
                                                static_cast<v1::ClipService::Service*>(this),
                                                static_cast<v1::RunService::Service*>(this)},
                                   .on_drain = nullptr});
  }
  ~FakeBroker() override { server_->Drain(absl::ZeroDuration()); }
  const std::string& address() const { return server_->address(); }

  void SetAssignment(const v1::Assignment& assignment) {
    base::MutexLock lock(&mutex_);
    assignment_ = assignment;
    changed_.NotifyAll();
  }

  grpc::Status AssignWork(grpc::ServerContext* context, const v1::AssignWorkRequest* request,
                          v1::Assignment* response) override {
    base::MutexLock lock(&mutex_);
    if (request->failed_run_id() != 0) failure = request->failure();
    while (assignment_.run_id() == 0 && !context->IsCancelled()) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(20));
    }
    ++asked;
    changed_.NotifyAll();
    *response = assignment_;
    return grpc::Status::OK;
  }
  grpc::Status Get(grpc::ServerContext*, const v1::GetBundleRequest*,
                   grpc::ServerWriter<v1::BundleChunk>* writer) override {
    v1::BundleChunk chunk;
    chunk.set_data(bundle_);
    writer->Write(chunk);
    return grpc::Status::OK;
  }
  grpc::Status Upload(grpc::ServerContext*, const v1::UploadClipsRequest* request,
                      v1::UploadClipsResponse* response) override {
    base::MutexLock lock(&mutex_);
    if (refuses_clips) return {grpc::StatusCode::INVALID_ARGUMENT, "clips[0] is too large"};
    for (const v1::Clip& clip : request->clips()) {
      clips[{clip.iteration(), clip.ticket(), clip.index()}] = clip;
      response->add_clip_ids(std::string(64, 'a'));
    }
    response->set_wanted(wanted);
    return grpc::Status::OK;
  }
  grpc::Status ReportEvaluation(grpc::ServerContext*, const v1::ReportEvaluationRequest* request,
                                v1::ReportEvaluationResponse*) override {
    base::MutexLock lock(&mutex_);
    for (const v1::Evaluation& episode : request->episodes()) {
      evaluations[episode.episode()] = episode;
    }
    return grpc::Status::OK;
  }

  size_t ClipsOf(int64_t iteration) {
    base::MutexLock lock(&mutex_);
    size_t count = 0;
    for (const auto& [key, clip] : clips) {
      if (std::get<0>(key) == iteration) ++count;
    }
    return count;
  }
  void WaitUntilAsked(int times) {
    base::MutexLock lock(&mutex_);
    while (asked < times) changed_.Wait(&mutex_);
  }

  base::Mutex mutex_;
  base::CondVar changed_;
  int asked ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::tuple<int64_t, int32_t, int32_t>, v1::Clip> clips;
  std::map<int32_t, v1::Evaluation> evaluations;
  int wanted = 100;
  bool refuses_clips = false;
  std::string failure ABSL_GUARDED_BY(mutex_);  // the newest that was reported

 private:
  const std::string bundle_;
  v1::Assignment assignment_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<rpc::Server> server_;
};

// A policy with random weights.
std::string PolicyBytes(int observations, int actions, uint64_t seed) {
  nn::Snapshot snapshot;
  const auto tensor = [&](std::vector<int64_t> shape, float scale, float shift) {
    nn::Tensor t{std::move(shape), {}};
    for (int64_t i = 0; i < t.size(); ++i) {
      const double draw =
          static_cast<double>(base::SeedOf({seed, static_cast<uint64_t>(i)}) >> 11) * 0x1p-52 - 1;
      t.values.push_back(shift + scale * static_cast<float>(draw));
    }
    return t;
  };
  snapshot.tensors["observation_mean"] = tensor({observations}, 0, 0);
  snapshot.tensors["observation_std"] = tensor({observations}, 0, 1);
  snapshot.tensors["layer0.weight"] = tensor({observations, actions}, 0.5f, 0);
  snapshot.tensors["layer0.bias"] = tensor({actions}, 0.1f, 0);
  snapshot.tensors["log_std"] = tensor({actions}, 0, -0.5f);
  snapshot.metadata["kind"] = "policy";
  snapshot.metadata["layers"] = std::to_string(observations) + "," + std::to_string(actions);
  snapshot.metadata["activation"] = "tanh";
  snapshot.metadata["observation_clip"] = "10";
  snapshot.metadata["action_clip"] = "1";
  snapshot.metadata["noise_correlation"] = "0.5";
  return snapshot.Encode();
}

constexpr int kEnvironments = 4;
constexpr int kSteps = 190;

class RolloutWorkerTest : public ::testing::Test {
 protected:
  RolloutWorkerTest()
      : task_(*sim::Task::FromFolder(BACKFLIP_TASKS "/hopper_backflip_guided")),
        broker_(task_->bundle().bytes),
        cache_(::testing::TempDir() + "/worker-cache-" + base::RandomHex128()) {
    info_.set_name(task_->name());
    info_.set_bundle_hash(task_->bundle().hash);
    info_.set_fingerprint(task_->fingerprint());
    info_.set_observation_size(task_->observation_size());
    info_.set_action_size(task_->action_size());
    info_.set_episode_steps(task_->task().episode_steps());
    info_.set_evaluation_steps(40);
    info_.set_clip_steps(task_->task().clip().steps());
    info_.set_has_true_reward(true);
    spec_.set_seed(3);
    spec_.set_reward(v1::PREFERENCES);
    spec_.set_steps(100 * kEnvironments * kSteps);
    spec_.mutable_collection()->set_environments(kEnvironments);
    spec_.mutable_collection()->set_batch_steps(kEnvironments * kSteps);
    spec_.mutable_collection()->set_clips_per_batch(8);
    learner_ = *rpc::Server::Start(
        {.listen = "127.0.0.1:0", .services = {&service_}, .on_drain = nullptr});
  }
  ~RolloutWorkerTest() override {
    workers_.clear();
    learner_->Drain(absl::ZeroDuration());
    std::filesystem::remove_all(cache_);
  }

  // A run, from its beginning, with policy 0.
  void StartRun() {
    collector_ = std::make_shared<policy_learner::Collector>(spec_, info_, 0,
                                                             std::vector<v1::EnvironmentState>());
    service_.Serve(collector_, "secret", /*find_refused=*/nullptr);
    v1::Assignment assignment;
    assignment.set_run_id(1);
    *assignment.mutable_task() = info_;
    assignment.set_reward(spec_.reward());
    assignment.set_learner_address(learner_->address());
    assignment.set_collect_token(rpc::CollectToken("secret", 1));
    broker_.SetAssignment(assignment);
    collector_->AddPolicy(Policy(0));
  }
  void EndRun() {
    broker_.SetAssignment({});
    service_.StopServing(absl::Seconds(20));
    collector_.reset();
  }
  RolloutWorker& AddWorker(int threads) {
    workers_.push_back(std::make_unique<RolloutWorker>(
        rpc::Client(broker_.address(), "worker"),
        RolloutWorkerConfig{.threads = threads, .cache_folder = cache_}));
    workers_.back()->Start();
    return *workers_.back();
  }
  policy_learner::PolicyToAct Policy(int64_t iteration) {
    return {.iteration = iteration,
            .version = iteration + 1,
            .steps_trained = 7,
            .bytes = PolicyBytes(info_.observation_size(), info_.action_size(), iteration)};
  }
  std::vector<std::string> Batches(int count) {
    std::vector<std::string> batches;
    for (int i = 0; i < count; ++i) {
      auto rollouts = *collector_->WaitBatch(i, Never);
      std::string& bytes = batches.emplace_back();
      for (const auto& rollout : rollouts) bytes += rollout->SerializeAsString();
      collector_->AddPolicy(Policy(i + 1));
    }
    return batches;
  }

  std::shared_ptr<const sim::Task> task_;
  FakeBroker broker_;
  const std::string cache_;
  v1::TaskInfo info_;
  v1::RunSpec spec_;
  policy_learner::PolicyLearnerService service_;
  std::unique_ptr<rpc::Server> learner_;
  std::shared_ptr<policy_learner::Collector> collector_;
  std::vector<std::unique_ptr<RolloutWorker>> workers_;
};

TEST_F(RolloutWorkerTest, GivesTheSameBatchesAndClipsWhateverTheWorkers) {
  StartRun();
  AddWorker(1);
  const auto alone = Batches(4);
  EndRun();
  const auto clips = std::exchange(broker_.clips, {});
  AddWorker(3);
  StartRun();
  EXPECT_EQ(Batches(4), alone);
  EndRun();
  int compared = 0;
  for (const auto& [key, clip] : clips) {
    // batch 4 may have begun
    if (clip.iteration() == 4) continue;
    ++compared;
    EXPECT_EQ(clip.SerializeAsString(), broker_.clips[key].SerializeAsString());
  }
  EXPECT_GE(compared, 20);
}

TEST_F(RolloutWorkerTest, StoresTheClipsBeforeTheBatchIsComplete) {
  AddWorker(2);
  StartRun();
  // episodes end in these two, but each environment has room for two clips
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(collector_->WaitBatch(i, Never).ok());
    EXPECT_EQ(broker_.ClipsOf(i), 8u);
    collector_->AddPolicy(Policy(i + 1));
  }
  for (const auto& [key, clip] : broker_.clips) {
    EXPECT_EQ(clip.steps(), 60);
    EXPECT_EQ(clip.observations_size(), 61 * task_->observation_size());
    EXPECT_EQ(clip.actions_size(), 60 * task_->action_size());
    EXPECT_EQ(clip.states_size(), 61 * task_->state_size());
    EXPECT_EQ(clip.poses().poses_size(), 61 * task_->bodies() * 7);
    EXPECT_EQ(clip.policy_version(), clip.iteration() + 1);
  }
}

TEST_F(RolloutWorkerTest, TellsTheLearnerWhatTheBrokerRefuses) {
  broker_.refuses_clips = true;
  AddWorker(2);
  StartRun();
  const absl::Status ended = collector_->WaitBatch(0, Never).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(ended)) << ended;
  EXPECT_THAT(std::string(ended.message()), HasSubstr("clips[0] is too large"));
}

TEST_F(RolloutWorkerTest, TellsTheLearnerThatAPolicyCannotBeRead) {
  AddWorker(2);
  StartRun();
  ASSERT_TRUE(collector_->WaitBatch(0, Never).ok());
  policy_learner::PolicyToAct policy = Policy(1);
  policy.bytes.resize(policy.bytes.size() - 2);
  collector_->AddPolicy(std::move(policy));
  EXPECT_THAT(std::string(collector_->WaitBatch(1, Never).status().message()),
              HasSubstr("policy version 2 cannot be read"));
}

TEST_F(RolloutWorkerTest, TellsTheBrokerWhichRunItCannotBeginToServe) {
  info_.set_fingerprint("another");
  AddWorker(1);
  StartRun();
  base::MutexLock lock(&broker_.mutex_);
  while (broker_.failure.empty()) broker_.changed_.Wait(&broker_.mutex_);
  EXPECT_THAT(broker_.failure, HasSubstr("use the same version of MuJoCo"));
}

TEST_F(RolloutWorkerTest, ShowsTrueRewardsToTheBrokerAndNotToTheLearner) {
  AddWorker(2);
  StartRun();
  const auto rollouts = *collector_->WaitBatch(0, Never);
  for (const auto& rollout : rollouts) {
    for (const auto& path : rollout->trajectories()) {
      EXPECT_THAT(path.true_rewards(), IsEmpty());
    }
  }
  for (const auto& [key, clip] : broker_.clips) {
    EXPECT_THAT(clip.true_rewards(), SizeIs(60));
  }
}

TEST_F(RolloutWorkerTest, SendsTrueRewardsInABaselineAndCutsNoClips) {
  spec_.set_reward(v1::TRUE);
  AddWorker(2);
  StartRun();
  const auto rollouts = *collector_->WaitBatch(0, Never);
  for (const auto& rollout : rollouts) {
    EXPECT_THAT(rollout->trajectories(0).true_rewards(), SizeIs(kSteps));
  }
  EXPECT_THAT(broker_.clips, IsEmpty());
}

TEST_F(RolloutWorkerTest, CutsNoClipsWhileNoneAreWanted) {
  broker_.wanted = 0;
  AddWorker(1);
  StartRun();
  Batches(3);
  EXPECT_GT(broker_.ClipsOf(0), 0u) << "it has to ask once";
  EXPECT_EQ(broker_.ClipsOf(2), 0u);
}

TEST_F(RolloutWorkerTest, ReportsEvaluationsToTheBroker) {
  AddWorker(2);
  StartRun();
  const int64_t handle = collector_->Evaluate(Policy(0), 10, {5, 6, 7}, true);
  const auto episodes = *collector_->WaitEvaluation(handle, Never);
  EXPECT_THAT(episodes, SizeIs(3));
  EXPECT_THAT(episodes[0]->trajectories(0).log_probs(), IsEmpty());
  EXPECT_THAT(episodes[0]->trajectories(0).true_rewards(), IsEmpty());
  ASSERT_THAT(broker_.evaluations, SizeIs(3));
  const v1::Evaluation& evaluation = broker_.evaluations[11];
  EXPECT_EQ(evaluation.seed(), 6u);
  EXPECT_EQ(evaluation.policy_version(), 1);
  EXPECT_EQ(evaluation.steps(), 7);
  EXPECT_TRUE(evaluation.final());
  EXPECT_TRUE(evaluation.has_true_return());
  EXPECT_TRUE(evaluation.metrics().contains("landed_backflips"));
}

TEST_F(RolloutWorkerTest, ADrainReturnsTheTicketsInHandAndLeavesTheRest) {
  RolloutWorker& first = AddWorker(1);
  StartRun();
  ASSERT_TRUE(collector_->WaitBatch(0, Never).ok());
  collector_->AddPolicy(Policy(1));
  first.Stop();
  EXPECT_EQ(collector_->workers(), 0);
  AddWorker(1);
  EXPECT_TRUE(collector_->WaitBatch(1, Never).ok());
  EXPECT_EQ(collector_->dropped(), 0);
}

TEST_F(RolloutWorkerTest, AsksForOtherWorkWhenTheLearnerIsGone) {
  AddWorker(1);
  StartRun();
  ASSERT_TRUE(collector_->WaitBatch(0, Never).ok());
  broker_.WaitUntilAsked(1);
  learner_->Drain(absl::ZeroDuration());
  broker_.WaitUntilAsked(2);
  // another learner takes over
  service_.StopServing(absl::Seconds(20));
  learner_ =
      *rpc::Server::Start({.listen = "127.0.0.1:0", .services = {&service_}, .on_drain = nullptr});
  StartRun();
  EXPECT_TRUE(collector_->WaitBatch(0, Never).ok());
}

TEST_F(RolloutWorkerTest, AsksForOtherWorkWhenReleased) {
  AddWorker(1);
  StartRun();
  ASSERT_TRUE(collector_->WaitBatch(0, Never).ok());
  EndRun();
  StartRun();
  EXPECT_TRUE(collector_->WaitBatch(0, Never).ok());
}

}  // namespace
}  // namespace backflip::rollout_worker
