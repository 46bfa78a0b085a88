#include "services/policy_learner/learner_loop.h"

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/learn/reward/ensemble.h"
#include "common/method/rounds.h"
#include "common/options/run_spec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/policy_learner/synthetic_rollouts.h"

namespace backflip::policy_learner {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

v1::Run SyntheticRun() {
  v1::Run run;
  run.set_id(4);
  *run.mutable_task() = SyntheticTask();
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.set_steps(32 * 24);
  spec.set_kept_snapshots(3);
  spec.mutable_collection()->set_environments(4);
  spec.mutable_collection()->set_batch_steps(32);
  spec.mutable_collection()->set_initial_episode_share(1);
  spec.mutable_collection()->set_restart_share(0);
  spec.mutable_collection()->set_noise_seconds(0);
  spec.mutable_ppo()->set_epochs(2);
  spec.mutable_ppo()->set_minibatch_steps(16);
  spec.mutable_ppo()->clear_hidden();
  spec.mutable_ppo()->add_hidden(8);
  *run.mutable_spec() = spec;
  return run;
}

nn::RewardModel Ensemble(uint64_t seed) {
  v1::RewardModel options = options::DefaultRunSpec().reward_model();
  options.clear_hidden();
  options.add_hidden(8);
  const auto ensemble =
      *learn::RewardEnsemble::Create(options, false, seed, kObservations, kActions);
  return *nn::RewardModel::FromSnapshot(ensemble->ToSnapshot());
}

// Physics of a restart are this and more: other environments count steps.
constexpr double kRestarted = 1e6;

// A broker in memory, which outlives learners.
class FakeBroker : public BrokerLink {
 public:
  absl::Status CompleteBatch(int64_t iteration, int64_t steps) override {
    base::MutexLock lock(&mutex_);
    if (iteration >= stop_at) return absl::CancelledError("stopped");
    complete[iteration] = steps;
    return absl::OkStatus();
  }
  absl::Status ReportMetrics(int64_t iteration, int64_t,
                             const std::map<std::string, double>& values) override {
    base::MutexLock lock(&mutex_);
    for (const auto& [name, value] : values) metrics[name][iteration] = value;
    return absl::OkStatus();
  }
  absl::StatusOr<v1::SnapshotInfo> PublishPolicy(int64_t iteration, int64_t steps, bool kept,
                                                 const std::string& bytes) override {
    base::MutexLock lock(&mutex_);
    const auto key = std::make_pair(iteration, bytes);
    if (!versions.contains(key)) {
      v1::SnapshotInfo info;
      info.set_version(static_cast<int64_t>(versions.size()) + 1);
      info.set_iteration(iteration);
      info.set_steps(steps);
      info.set_kept(kept);
      versions[key] = info;
      policies[info.version()] = bytes;
    }
    return versions[key];
  }
  absl::StatusOr<std::string> LoadPolicy(int64_t version) override {
    base::MutexLock lock(&mutex_);
    return policies.at(version);
  }
  absl::Status SetBest(int64_t version) override {
    base::MutexLock lock(&mutex_);
    best = version;
    return absl::OkStatus();
  }
  absl::Status SaveCheckpoint(const v1::LearnerState& state, const std::string& bytes) override {
    base::MutexLock lock(&mutex_);
    if (state.iteration() >= save_until) return absl::UnavailableError("away");
    checkpoint = {state, bytes};
    return absl::OkStatus();
  }
  absl::StatusOr<std::pair<v1::LearnerState, std::string>> LoadCheckpoint() override {
    base::MutexLock lock(&mutex_);
    if (!checkpoint.has_value()) return absl::NotFoundError("none yet");
    return *checkpoint;
  }
  absl::StatusOr<std::shared_ptr<const Reward>> RewardOf(int64_t iteration,
                                                         absl::Duration) override {
    base::MutexLock lock(&mutex_);
    asked.push_back(iteration);
    v1::SnapshotInfo info;
    info.set_iteration(iteration);
    return std::make_shared<const Reward>(Reward{info, Ensemble(iteration)});
  }
  absl::StatusOr<std::shared_ptr<const Reward>> RewardAfter(int64_t version,
                                                            absl::Duration) override {
    base::MutexLock lock(&mutex_);
    asked.push_back(version);
    if (version >= last_version) return nullptr;
    v1::SnapshotInfo info;
    info.set_version(version + 1);
    info.set_labels((version + 1) * 100);
    return std::make_shared<const Reward>(Reward{info, Ensemble(version)});
  }
  absl::StatusOr<std::pair<v1::SnapshotInfo, std::string>> LoadPolicyOf(int64_t run_id,
                                                                        int64_t version) override {
    base::MutexLock lock(&mutex_);
    loaded = {run_id, version};
    v1::SnapshotInfo info;
    info.set_steps(640);
    return std::make_pair(info, foreign_policy);
  }
  absl::StatusOr<std::vector<v1::Moment>> LoadMoments(v1::GetMomentsRequest request) override {
    base::MutexLock lock(&mutex_);
    std::vector<v1::Moment> moments;
    for (const v1::MomentChoice& choice : request.choices()) {
      moments.emplace_back().add_state(kRestarted + static_cast<double>(choice.place() % 1000));
    }
    moment_requests[request.max_iteration() + 1] = std::move(request);
    return moments;
  }
  Asking LookAtAsking() override {
    base::MutexLock lock(&mutex_);
    return asking;
  }
  void SetWantedSteps(int64_t steps) override {
    base::MutexLock lock(&mutex_);
    wanted.push_back(steps);
    changed_.NotifyAll();
  }

  std::string PolicyOf(int64_t iteration) {
    base::MutexLock lock(&mutex_);
    for (const auto& [key, info] : versions) {
      if (key.first == iteration) return key.second;
    }
    return "";
  }
  std::vector<int64_t> KeptIterations() {
    base::MutexLock lock(&mutex_);
    std::vector<int64_t> kept;
    for (const auto& [key, info] : versions) {
      if (info.kept()) kept.push_back(key.first);
    }
    return kept;
  }

  // The batch at which the learner is stopped, and the iteration from which on
  // no checkpoint is saved, as after a kill.
  int64_t stop_at = 1000;
  int64_t save_until = 1000;

  Asking asking = {.answers_expected = false};
  std::pair<int64_t, int64_t> loaded;
  std::string foreign_policy;

  // No ensemble after this version ever comes.
  int64_t last_version = 1000;

  base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<int64_t> wanted;
  std::map<int64_t, int64_t> complete;
  std::map<std::string, std::map<int64_t, double>> metrics;
  std::map<std::pair<int64_t, std::string>, v1::SnapshotInfo> versions;
  std::map<int64_t, std::string> policies;
  int64_t best = 0;
  std::optional<std::pair<v1::LearnerState, std::string>> checkpoint;
  std::vector<int64_t> asked;
  std::map<int64_t, v1::GetMomentsRequest> moment_requests;  // by batch
};

// Simulates on a thread of its own until its end.
class SyntheticWorker : public WorkerLink {
 public:
  SyntheticWorker(std::shared_ptr<Collector> collector, bool true_rewards)
      : collector_(std::move(collector)), true_rewards_(true_rewards) {
    v1::Register hello;
    hello.set_protocol_major(1);
    hello.set_task_fingerprint("f1");
    hello.set_threads(2);
    id_ = *collector_->Connect(hello, /*holder=*/1, this, absl::Now());
    thread_ = std::thread([this] { Work(); });
  }
  ~SyntheticWorker() override {
    {
      base::MutexLock lock(&mutex_);
      stop_ = true;
      changed_.NotifyAll();
    }
    thread_.join();
    collector_->Disconnect(id_, absl::Now());
  }

  void Send(std::shared_ptr<const v1::LearnerMessage> message) override {
    base::MutexLock lock(&mutex_);
    if (message->has_ticket()) {
      tickets_.push_back(message->ticket());
      sent_.push_back(message->ticket());
    }
    changed_.NotifyAll();
  }
  void Cut(absl::Status) override {}

  std::vector<v1::Ticket> Sent() {
    base::MutexLock lock(&mutex_);
    return sent_;
  }

  // Tickets served, final ones apart.
  std::atomic<int> finals = 0;

 private:
  void Work() {
    while (true) {
      v1::Ticket ticket;
      {
        base::MutexLock lock(&mutex_);
        while (tickets_.empty() && !stop_) changed_.Wait(&mutex_);
        if (stop_) return;
        ticket = tickets_.front();
        tickets_.pop_front();
      }
      if (ticket.final()) ++finals;
      EXPECT_TRUE(
          collector_->Return(id_, SyntheticRollout(ticket, true_rewards_), absl::Now()).ok());
    }
  }

  const std::shared_ptr<Collector> collector_;
  const bool true_rewards_;
  WorkerId id_ = 0;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<v1::Ticket> tickets_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::Ticket> sent_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

bool Never() { return false; }

TEST(LearnerLoop, ServesARunToItsEnd) {
  FakeBroker broker;
  const auto loop = *LearnerLoop::Create(SyntheticRun(), &broker);
  SyntheticWorker worker(loop->collector(), false);
  ASSERT_TRUE(loop->Run(Never).ok());
  EXPECT_THAT(broker.complete, SizeIs(24));
  EXPECT_EQ(broker.complete[23], 32 * 24);
  EXPECT_THAT(broker.KeptIterations(), ElementsAre(8, 16, 24));
  EXPECT_EQ(broker.metrics["predicted_return"].size(), 3u);
  EXPECT_NE(broker.best, 0);
  EXPECT_TRUE(broker.metrics["predicted_return"].contains(8));
  double best = 0;
  auto& lower = broker.metrics["policy/lower_return"];
  EXPECT_EQ(lower.size(), 3u);
  for (const auto& [key, info] : broker.versions) {
    if (info.version() == broker.best) {
      best = lower[info.iteration()];
    }
  }
  for (const auto& [iteration, value] : lower) {
    EXPECT_LE(value, best);
    EXPECT_LT(value, broker.metrics["predicted_return"][iteration]);
  }
  EXPECT_EQ(worker.finals, 20);
}

TEST(LearnerLoop, RewardsEachBatchWithItsOwnEnsembleInLockstep) {
  v1::Run run = SyntheticRun();
  run.mutable_spec()->set_steps(32 * 4);
  FakeBroker broker;
  const auto loop = *LearnerLoop::Create(run, &broker);
  SyntheticWorker worker(loop->collector(), false);
  ASSERT_TRUE(loop->Run(Never).ok());
  // none for batch 0; 4 scores the kept snapshots
  EXPECT_THAT(broker.asked, ElementsAre(1, 2, 3, 4));
  // batch 0 only says how observations are scaled
  const auto first = *nn::Snapshot::Decode(broker.PolicyOf(0));
  const auto second = *nn::Snapshot::Decode(broker.PolicyOf(1));
  EXPECT_EQ(first.tensors.at("layer0.weight").values, second.tensors.at("layer0.weight").values);
  EXPECT_NE(first.tensors.at("observation_std").values,
            second.tensors.at("observation_std").values);
  const auto third = *nn::Snapshot::Decode(broker.PolicyOf(2));
  EXPECT_NE(second.tensors.at("layer1.weight").values, third.tensors.at("layer1.weight").values);
}

TEST(LearnerLoop, LearnsFromAsManyEarlierBatchesAsItIsTo) {
  // policies by iteration, of updates that reuse so many
  const auto learn = [](int reused) {
    v1::Run run = SyntheticRun();
    run.mutable_spec()->set_steps(32 * 4);
    run.mutable_spec()->mutable_ppo()->set_reused_batches(reused);
    FakeBroker broker;
    const auto loop = *LearnerLoop::Create(run, &broker);
    SyntheticWorker worker(loop->collector(), false);
    EXPECT_TRUE(loop->Run(Never).ok());
    std::vector<std::string> policies;
    for (int i = 0; i <= 4; ++i) policies.push_back(broker.PolicyOf(i));
    return policies;
  };
  const auto none = learn(0), one = learn(1), two = learn(2);
  // batch 0 is not rewarded: the first update is that of batch 1, which has one
  // before it, and batch 2 has two
  EXPECT_EQ(none[1], one[1]);
  EXPECT_NE(none[2], one[2]);
  EXPECT_EQ(one[2], two[2]);
  EXPECT_NE(one[3], two[3]);
}

TEST(LearnerLoop, HasEnvironmentsBeginAtMomentsOfClipsWhereItIsTo) {
  v1::Run run = SyntheticRun();
  FakeBroker without;
  {
    const auto loop = *LearnerLoop::Create(run, &without);
    SyntheticWorker worker(loop->collector(), false);
    ASSERT_TRUE(loop->Run(Never).ok());
  }
  EXPECT_THAT(without.moment_requests, SizeIs(0)) << "nothing is asked for";
  run.mutable_spec()->mutable_collection()->set_restart_share(0.5);
  FakeBroker broker;
  const auto loop = *LearnerLoop::Create(run, &broker);
  SyntheticWorker worker(loop->collector(), false);
  ASSERT_TRUE(loop->Run(Never).ok());
  std::map<int64_t, std::multiset<double>> began, asked;  // physics, by batch
  for (const v1::Ticket& ticket : worker.Sent()) {
    for (const v1::EnvironmentStart& start : ticket.environments()) {
      if (!start.has_state() || !start.state().noise().empty()) continue;
      EXPECT_EQ(ticket.purpose(), v1::COLLECT) << "evaluations begin at resets";
      EXPECT_EQ(start.state().episode_step(), 0);
      began[ticket.iteration()].insert(start.state().physics(0));
    }
  }
  for (const auto& [batch, request] : broker.moment_requests) {
    EXPECT_EQ(request.max_round(), method::AnsweredRound(run.spec(), batch));
    for (const v1::MomentChoice& choice : request.choices()) {
      asked[batch].insert(kRestarted + static_cast<double>(choice.place() % 1000));
    }
  }
  EXPECT_EQ(began, asked);
  EXPECT_GT(began.size(), 20u) << "of 23 batches";
  EXPECT_EQ(began.count(0), 0u);
}

TEST(LearnerLoop, LearnsFromNoveltyInTheInitialBatchesAlone) {
  v1::Run run = SyntheticRun();
  ASSERT_EQ(method::InitialBatches(run.spec()), 6);
  const auto weights = [&run](int64_t iteration, FakeBroker* broker) {
    return nn::Snapshot::Decode(broker->PolicyOf(iteration))->tensors.at("layer0.weight").values;
  };
  for (const bool novelty : {false, true}) {
    run.mutable_spec()->mutable_collection()->set_novelty(novelty);
    FakeBroker broker;
    const auto loop = *LearnerLoop::Create(run, &broker);
    SyntheticWorker worker(loop->collector(), false);
    ASSERT_TRUE(loop->Run(Never).ok());
    for (int64_t i = 0; i < 6; ++i) {
      EXPECT_EQ(weights(i, &broker) != weights(i + 1, &broker), novelty) << i;
    }
    EXPECT_EQ(broker.asked.front(), 6) << "the first ensemble";
    EXPECT_NE(weights(6, &broker), weights(7, &broker));
  }
  run.set_forked_from_run(3);
  FakeBroker first;
  first.foreign_policy = [&] {
    const auto loop = *LearnerLoop::Create(SyntheticRun(), &first);
    SyntheticWorker worker(loop->collector(), false);
    EXPECT_TRUE(loop->Run(Never).ok());
    return first.PolicyOf(24);
  }();
  FakeBroker broker;
  broker.foreign_policy = first.foreign_policy;
  const auto loop = *LearnerLoop::Create(run, &broker);
  SyntheticWorker worker(loop->collector(), false);
  ASSERT_TRUE(loop->Run(Never).ok());
  EXPECT_EQ(weights(1, &broker), weights(6, &broker)) << "a fork keeps what it can do";
}

TEST(LearnerLoop, GoesOnFromItsCheckpointAsIfNothingHadHappened) {
  v1::Run run = SyntheticRun();
  run.mutable_spec()->mutable_collection()->set_restart_share(0.5);
  run.mutable_spec()->mutable_collection()->set_novelty(true);
  FakeBroker whole;
  {
    const auto loop = *LearnerLoop::Create(run, &whole);
    SyntheticWorker worker(loop->collector(), false);
    ASSERT_TRUE(loop->Run(Never).ok());
  }
  const auto goes_on = [&](int64_t stop_at, int64_t save_until, int64_t saved) {
    FakeBroker broken;
    broken.stop_at = stop_at;
    broken.save_until = save_until;
    {
      const auto loop = *LearnerLoop::Create(run, &broken);
      SyntheticWorker worker(loop->collector(), false);
      ASSERT_TRUE(absl::IsCancelled(loop->Run(Never)));
      ASSERT_EQ(broken.checkpoint->first.iteration(), saved);
    }
    broken.stop_at = broken.save_until = 1000;
    {
      const auto loop = *LearnerLoop::Create(run, &broken);
      SyntheticWorker worker(loop->collector(), false);
      SyntheticWorker another(loop->collector(), false);
      ASSERT_TRUE(loop->Run(Never).ok());
    }
    EXPECT_EQ(whole.PolicyOf(24), broken.PolicyOf(24));
    EXPECT_EQ(whole.policies.at(whole.best), broken.policies.at(broken.best));
  };
  goes_on(13, 11, 10);  // killed in batch 13: nothing is saved after iteration 10
  goes_on(3, 1000, 3);  // drained while there is no ensemble
}

TEST(LearnerLoop, SavesItsLastWholeIterationWhenStopped) {
  FakeBroker broker;
  broker.stop_at = 3;
  const auto loop = *LearnerLoop::Create(SyntheticRun(), &broker);
  SyntheticWorker worker(loop->collector(), false);
  EXPECT_TRUE(absl::IsCancelled(loop->Run(Never)));
  ASSERT_TRUE(broker.checkpoint.has_value());
  EXPECT_EQ(broker.checkpoint->first.iteration(), 3);
  EXPECT_EQ(broker.checkpoint->first.steps(), 3 * 32);
  EXPECT_EQ(broker.checkpoint->first.episode_steps(), kEpisodeSteps);
}

TEST(LearnerLoop, EndsWhenAskedWhileItWaits) {
  FakeBroker broker;
  const auto loop = *LearnerLoop::Create(SyntheticRun(), &broker);
  EXPECT_TRUE(absl::IsCancelled(loop->Run([] { return true; })));
}

TEST(LearnerLoop, LearnsFromTrueRewardsInABaseline) {
  v1::Run run = SyntheticRun();
  run.mutable_spec()->set_reward(v1::TRUE);
  FakeBroker broker;
  const auto loop = *LearnerLoop::Create(run, &broker);
  SyntheticWorker worker(loop->collector(), true);
  ASSERT_TRUE(loop->Run(Never).ok());
  EXPECT_TRUE(broker.asked.empty());
  EXPECT_NE(broker.PolicyOf(0), broker.PolicyOf(1));
}

TEST(LearnerLoop, NeverTrainsFurtherPastTheLabelsThanPromised) {
  v1::Run run = SyntheticRun();
  run.mutable_spec()->set_lockstep(false);
  run.mutable_spec()->set_steps_per_label(1);
  run.mutable_spec()->set_steps(32 * 6);
  FakeBroker broker;
  const auto loop = *LearnerLoop::Create(run, &broker);
  SyntheticWorker worker(loop->collector(), false);
  ASSERT_TRUE(loop->Run(Never).ok());
  // 100 labels allow 100 steps: batches 0 to 3 begin before that, 4 and 5 wait
  // for an ensemble of 200, and so does the end
  EXPECT_THAT(broker.asked, ElementsAre(0, 0, 0, 0, 0, 1, 0, 1, 0, 1));
}

TEST(LearnerLoop, LetsWorkersGoWhileItWaitsAndGoesOnWhenNothingIsOpen) {
  v1::Run run = SyntheticRun();
  run.mutable_spec()->set_lockstep(false);
  run.mutable_spec()->set_steps_per_label(1);
  run.mutable_spec()->set_steps(32 * 5);
  FakeBroker broker;
  broker.last_version = 1;
  const auto loop = *LearnerLoop::Create(run, &broker);
  SyntheticWorker worker(loop->collector(), false);
  // a released worker gets no more tickets, so the run does not end
  std::atomic<bool> ended = false;
  std::thread running(
      [&] { EXPECT_TRUE(absl::IsCancelled(loop->Run([&] { return ended.load(); }))); });
  {
    // before batch 4 there are 128 steps of 100 labels: it waits, and goes on
    base::MutexLock lock(&broker.mutex_);
    while (broker.wanted.size() < 3) broker.changed_.Wait(&broker.mutex_);
    EXPECT_THAT(std::vector<int64_t>(broker.wanted.begin(), broker.wanted.begin() + 3),
                ElementsAre(32, 0, 32));
  }
  ended = true;
  running.join();
}

TEST(LearnerLoop, EndsWithWhatItsLabelsHaveEarnedOnceTheAskingIsStopped) {
  v1::Run run = SyntheticRun();  // 24 batches of 32 steps
  run.mutable_spec()->set_lockstep(false);
  run.mutable_spec()->set_steps_per_label(2);
  FakeBroker broker;
  broker.last_version = 1;  // of 100 labels
  broker.asking = {.stopped = true, .labels = 100};
  const auto loop = *LearnerLoop::Create(run, &broker);
  SyntheticWorker worker(loop->collector(), false);
  ASSERT_TRUE(loop->Run(Never).ok());
  // 200 steps
  EXPECT_EQ(broker.complete.rbegin()->first, 5);
  EXPECT_EQ(broker.KeptIterations().back(), 6);
  EXPECT_GT(broker.best, 0);
  EXPECT_EQ(worker.finals, 20);
}

TEST(LearnerLoop, EndsAfterTheBatchInHandWhenItIsFurtherThanItsLabels) {
  v1::Run run = SyntheticRun();
  run.mutable_spec()->set_lockstep(false);
  run.mutable_spec()->set_steps_per_label(2);
  FakeBroker broker;
  broker.last_version = 1;
  broker.asking = {.stopped = true, .labels = 0};
  const auto loop = *LearnerLoop::Create(run, &broker);
  SyntheticWorker worker(loop->collector(), false);
  ASSERT_TRUE(loop->Run(Never).ok());
  EXPECT_EQ(broker.complete.size(), 1u);
  EXPECT_THAT(broker.KeptIterations(), ElementsAre(1));
}

TEST(LearnerLoop, BeginsAForkAsThePolicyItWasForkedFrom) {
  FakeBroker first;
  {
    const auto loop = *LearnerLoop::Create(SyntheticRun(), &first);
    SyntheticWorker worker(loop->collector(), false);
    ASSERT_TRUE(loop->Run(Never).ok());
  }
  v1::Run fork = SyntheticRun();
  fork.set_forked_from_run(4);
  fork.set_forked_from_version(20);
  FakeBroker broker;
  broker.foreign_policy = first.PolicyOf(20);
  broker.stop_at = 1;
  const auto loop = *LearnerLoop::Create(fork, &broker);
  EXPECT_EQ(broker.loaded, std::make_pair(int64_t{4}, int64_t{20}));
  SyntheticWorker worker(loop->collector(), false);
  EXPECT_TRUE(absl::IsCancelled(loop->Run(Never)));
  const auto begun = *nn::Snapshot::Decode(broker.PolicyOf(0));
  const auto origin = *nn::Snapshot::Decode(broker.foreign_policy);
  EXPECT_EQ(begun.metadata, origin.metadata);
  for (const auto& [name, tensor] : origin.tensors) {
    ASSERT_EQ(begun.tensors.at(name).shape, tensor.shape) << name;
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      EXPECT_NEAR(begun.tensors.at(name).values[i], tensor.values[i], 1e-6) << name;
    }
  }
}

TEST(LearnerLoop, RefusesToBeginAsAPolicyOfAnotherShape) {
  FakeBroker first;
  v1::Run wide = SyntheticRun();
  wide.mutable_spec()->mutable_ppo()->set_hidden(0, 16);
  first.stop_at = 1;
  {
    const auto loop = *LearnerLoop::Create(wide, &first);
    SyntheticWorker worker(loop->collector(), false);
    EXPECT_TRUE(absl::IsCancelled(loop->Run(Never)));
  }
  v1::Run fork = SyntheticRun();
  fork.set_forked_from_run(4);
  fork.set_forked_from_version(1);
  FakeBroker broker;
  broker.foreign_policy = first.PolicyOf(0);
  EXPECT_TRUE(absl::IsInvalidArgument(LearnerLoop::Create(fork, &broker).status()));
}

TEST(LearnerLoop, GoesOnWhenTheLabelBudgetIsSpent) {
  v1::Run run = SyntheticRun();
  run.mutable_spec()->set_lockstep(false);
  run.mutable_spec()->set_steps_per_label(1);
  run.mutable_spec()->set_labels(100);
  FakeBroker broker;
  const auto loop = *LearnerLoop::Create(run, &broker);
  SyntheticWorker worker(loop->collector(), false);
  ASSERT_TRUE(loop->Run(Never).ok());
  EXPECT_THAT(broker.asked, ::testing::Each(0));
}

}  // namespace
}  // namespace backflip::policy_learner
