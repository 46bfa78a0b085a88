#include "services/policy_learner/grpc_broker_link.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/nn/snapshot.h"
#include "common/rpc/status.h"

namespace backflip::policy_learner {
namespace {

constexpr size_t kRewardsKept = 4;
constexpr absl::Duration kStopCheck = absl::Milliseconds(100);

absl::StatusOr<std::shared_ptr<const Reward>> DecodeReward(const v1::SnapshotInfo& info,
                                                           const std::string& bytes) {
  ASSIGN_OR_RETURN(const nn::Snapshot snapshot, nn::Snapshot::Decode(bytes));
  ASSIGN_OR_RETURN(nn::RewardModel model, nn::RewardModel::FromSnapshot(snapshot));
  return std::make_shared<const Reward>(Reward{info, std::move(model)});
}

}  // namespace

GrpcBrokerLink::GrpcBrokerLink(const rpc::Client& broker, client::ClaimKeeper* claim,
                               std::function<bool()> stop)
    : broker_(broker),
      claim_(claim),
      run_id_(claim->run().id()),
      stop_(std::move(stop)),
      claims_(v1::ClaimService::NewStub(broker.channel())),
      runs_(v1::RunService::NewStub(broker.channel())),
      snapshots_(v1::SnapshotService::NewStub(broker.channel())),
      restarts_(v1::RestartService::NewStub(broker.channel())) {
  if (claim_->run().spec().reward() == v1::PREFERENCES) {
    watcher_ = std::thread([this] { WatchRewards(); });
  }
}

GrpcBrokerLink::~GrpcBrokerLink() {
  {
    base::MutexLock lock(&mutex_);
    ending_ = true;
    if (watch_ != nullptr) watch_->TryCancel();
    changed_.NotifyAll();
  }
  if (watcher_.joinable()) watcher_.join();
}

absl::Status GrpcBrokerLink::CompleteBatch(int64_t iteration, int64_t steps) {
  v1::CompleteBatchRequest request;
  request.set_run_id(run_id_);
  request.set_epoch(claim_->epoch());
  request.set_iteration(iteration);
  request.set_steps(steps);
  return base::Retry({}, stop_, [&] {
    v1::CompleteBatchResponse response;
    return rpc::FromGrpc(claims_->CompleteBatch(broker_.UnaryContext().get(), request, &response));
  });
}

absl::Status GrpcBrokerLink::ReportMetrics(int64_t iteration, int64_t steps,
                                           const std::map<std::string, double>& values) {
  v1::ReportMetricsRequest request;
  request.set_run_id(run_id_);
  request.set_epoch(claim_->epoch());
  request.set_iteration(iteration);
  request.set_steps(steps);
  for (const auto& [name, value] : values) {
    (*request.mutable_values())[name] = value;
  }
  return base::Retry({}, stop_, [&] {
    v1::ReportMetricsResponse response;
    return rpc::FromGrpc(runs_->ReportMetrics(broker_.UnaryContext().get(), request, &response));
  });
}

absl::StatusOr<v1::SnapshotInfo> GrpcBrokerLink::PublishPolicy(int64_t iteration, int64_t steps,
                                                               bool kept,
                                                               const std::string& bytes) {
  v1::SnapshotInfo info;
  info.set_run_id(run_id_);
  info.set_kind(v1::POLICY);
  info.set_iteration(iteration);
  info.set_steps(steps);
  info.set_kept(kept);
  ASSIGN_OR_RETURN(
      info, client::PublishSnapshot(broker_, claim_->epoch(), std::move(info), bytes, stop_));
  v1::ReportSourcesRequest sources;
  {
    base::MutexLock lock(&mutex_);
    sources.set_reward_version(handed_out_);
  }
  if (sources.reward_version() == 0) return info;
  sources.set_run_id(run_id_);
  sources.set_epoch(claim_->epoch());
  sources.set_kind(v1::POLICY);
  sources.set_version(info.version());
  client::ReportSources(broker_, sources, stop_);
  return info;
}

absl::StatusOr<std::string> GrpcBrokerLink::LoadPolicy(int64_t version) {
  ASSIGN_OR_RETURN(auto snapshot, LoadPolicyOf(run_id_, version));
  return std::move(snapshot.second);
}

absl::StatusOr<std::pair<v1::SnapshotInfo, std::string>> GrpcBrokerLink::LoadPolicyOf(
    int64_t run_id, int64_t version) {
  v1::GetSnapshotRequest request;
  request.set_run_id(run_id);
  request.set_kind(v1::POLICY);
  request.set_version(version);
  return client::GetSnapshot(broker_, request, stop_);
}

absl::Status GrpcBrokerLink::SetBest(int64_t version) {
  v1::SetBestRequest request;
  request.set_run_id(run_id_);
  request.set_epoch(claim_->epoch());
  request.set_version(version);
  return base::Retry({}, stop_, [&] {
    v1::SetBestResponse response;
    return rpc::FromGrpc(snapshots_->SetBest(broker_.UnaryContext().get(), request, &response));
  });
}

absl::Status GrpcBrokerLink::SaveCheckpoint(const v1::LearnerState& state,
                                            const std::string& bytes) {
  v1::CheckpointInfo info;
  info.set_run_id(run_id_);
  info.set_iteration(state.iteration());
  info.set_steps(state.steps());
  info.set_counters(state.SerializeAsString());
  // saved when a drain has begun too, so `stop_` does not end it; a broker that
  // is away at that moment is not waited for
  const absl::Time give_up = absl::Now() + absl::Seconds(10);
  return client::SaveCheckpoint(broker_, claim_->epoch(), std::move(info), bytes,
                                [this, give_up] { return stop_() && absl::Now() > give_up; });
}

absl::StatusOr<std::pair<v1::LearnerState, std::string>> GrpcBrokerLink::LoadCheckpoint() {
  v1::LearnerState state;
  ASSIGN_OR_RETURN(auto checkpoint,
                   client::LoadCheckpoint(
                       broker_, run_id_,
                       [&](const v1::CheckpointInfo& info, const std::string& bytes) {
                         if (!state.ParseFromString(info.counters())) {
                           return absl::DataLossError("its counters cannot be read");
                         }
                         return nn::Snapshot::Decode(bytes).status();
                       },
                       stop_));
  return std::make_pair(std::move(state), std::move(checkpoint.second));
}

template <typename Find>
absl::StatusOr<std::shared_ptr<const Reward>> GrpcBrokerLink::Wait(absl::Duration timeout,
                                                                   Find find) {
  const absl::Time until = absl::Now() + timeout;
  base::MutexLock lock(&mutex_);
  while (true) {
    if (std::shared_ptr<const Reward> found = find()) return found;
    if (stop_()) return absl::CancelledError("stopped");
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return nullptr;
    changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(std::min(left, kStopCheck)));
  }
}

std::shared_ptr<const Reward> GrpcBrokerLink::HandOut(std::shared_ptr<const Reward> reward) {
  base::MutexLock lock(&mutex_);
  if (reward != nullptr) handed_out_ = reward->info.version();
  return reward;
}

absl::StatusOr<std::shared_ptr<const Reward>> GrpcBrokerLink::RewardOf(int64_t iteration,
                                                                       absl::Duration timeout) {
  ASSIGN_OR_RETURN(std::shared_ptr<const Reward> reward,
                   Wait(timeout, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                     const auto it = rewards_.lower_bound(iteration);
                     return it == rewards_.end() ? nullptr : it->second;
                   }));
  if (reward == nullptr || reward->info.iteration() == iteration) return HandOut(reward);
  // The watch shows the newest alone: this is an older one, after a restart.
  v1::GetSnapshotRequest request;
  request.set_run_id(run_id_);
  request.set_kind(v1::REWARD);
  request.set_iteration(iteration);
  auto snapshot = client::GetSnapshot(broker_, request, stop_);
  if (absl::IsNotFound(snapshot.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the reward of iteration ", iteration,
                     " is gone from the broker, whose oldest one that is "
                     "at hand is of iteration ",
                     reward->info.iteration(),
                     "; in lockstep no other can take its "
                     "place, since the same seed gives the same run. Start a new run"));
  }
  RETURN_IF_ERROR(snapshot.status());
  ASSIGN_OR_RETURN(reward, DecodeReward(snapshot->first, snapshot->second));
  return HandOut(reward);
}

absl::StatusOr<std::shared_ptr<const Reward>> GrpcBrokerLink::RewardAfter(int64_t version,
                                                                          absl::Duration timeout) {
  ASSIGN_OR_RETURN(
      const std::shared_ptr<const Reward> reward,
      Wait(timeout, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> std::shared_ptr<const Reward> {
        if (rewards_.empty()) return nullptr;
        const auto& newest = rewards_.rbegin()->second;
        return newest->info.version() > version ? newest : nullptr;
      }));
  return HandOut(reward);
}

absl::StatusOr<std::vector<v1::Moment>> GrpcBrokerLink::LoadMoments(v1::GetMomentsRequest request) {
  request.set_run_id(run_id_);
  std::vector<v1::Moment> moments;
  RETURN_IF_ERROR(base::Retry({}, stop_, [&] {
    moments.clear();
    const auto context = broker_.UnaryContext(absl::Seconds(30));
    const auto reader = restarts_->GetMoments(context.get(), request);
    v1::Moment moment;
    while (reader->Read(&moment)) moments.push_back(moment);
    return rpc::FromGrpc(reader->Finish());
  }));
  return moments;
}

Asking GrpcBrokerLink::LookAtAsking() {
  v1::GetRunRequest request;
  request.set_run_id(run_id_);
  v1::Run run;
  const grpc::Status status = runs_->Get(broker_.UnaryContext().get(), request, &run);
  if (!status.ok()) return {};
  return {.answers_expected = run.limit() != v1::LIMIT_NONE,
          .stopped = run.asking_stopped(),
          .labels = run.labels()};
}

void GrpcBrokerLink::SetWantedSteps(int64_t steps) { claim_->SetWantedSteps(steps); }

void GrpcBrokerLink::TakeReward(const v1::SnapshotInfo& info, const std::string& bytes) {
  auto reward = base::Sha256Hex(bytes) == info.sha256()
                    ? DecodeReward(info, bytes)
                    : absl::DataLossError("its hash does not fit");
  if (!reward.ok()) {
    base::LogWarning(
        "a reward snapshot cannot be read",
        {{"run", run_id_}, {"version", info.version()}, {"reason", reward.status().message()}});
    return;
  }
  base::MutexLock lock(&mutex_);
  rewards_[info.iteration()] = *std::move(reward);
  while (rewards_.size() > kRewardsKept) rewards_.erase(rewards_.begin());
  changed_.NotifyAll();
}

void GrpcBrokerLink::WatchRewards() {
  const auto ending = [this] {
    base::MutexLock lock(&mutex_);
    return ending_;
  };
  v1::WatchSnapshotsRequest request;
  request.set_run_id(run_id_);
  request.set_kind(v1::REWARD);
  absl::Duration pause = absl::ZeroDuration();
  while (!ending()) {
    grpc::ClientContext* context = nullptr;
    {
      base::MutexLock lock(&mutex_);
      if (ending_) return;
      watch_ = broker_.StreamContext();
      context = watch_.get();
    }
    const auto reader = snapshots_->Watch(context, request);
    v1::SnapshotChunk chunk;
    v1::SnapshotInfo info;
    std::string bytes;
    while (reader->Read(&chunk)) {
      pause = absl::ZeroDuration();
      if (chunk.has_info()) {
        info = chunk.info();
        bytes.clear();
      }
      bytes += chunk.data();
      if (static_cast<int64_t>(bytes.size()) < info.size()) continue;
      TakeReward(info, bytes);
      request.set_after_version(std::max(request.after_version(), info.version()));
    }
    const absl::Status status = rpc::FromGrpc(reader->Finish());
    if (ending()) return;
    // the broker is away or restarts: bounded and growing pauses
    pause = std::min(absl::Seconds(3), pause * 2 + absl::Milliseconds(100));
    base::LogWarning("watching rewards again", {{"run", run_id_}, {"reason", status.message()}});
    base::MutexLock lock(&mutex_);
    if (!ending_) changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(pause));
  }
}

}  // namespace backflip::policy_learner
