// A BrokerLink over gRPC.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_GRPC_BROKER_LINK_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_GRPC_BROKER_LINK_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backflip/v1/restart.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/snapshot.grpc.pb.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/base/mutex.h"
#include "common/client/claim_keeper.h"
#include "common/rpc/client.h"
#include "services/policy_learner/broker_link.h"

namespace backflip::policy_learner {

// Follows the run's rewards from a thread of its own. Thread-safe. A policy that is published has
// learned from the reward that was handed out last, and the broker is told so.
class GrpcBrokerLink final : public BrokerLink {
 public:
  // `claim` is not owned and outlives the link. `stop`: see BrokerLink;
  // thread-safe.
  GrpcBrokerLink(const rpc::Client& broker, client::ClaimKeeper* claim, std::function<bool()> stop);
  ~GrpcBrokerLink() override;

  absl::Status CompleteBatch(int64_t iteration, int64_t steps) override;
  absl::Status ReportMetrics(int64_t iteration, int64_t steps,
                             const std::map<std::string, double>& values) override;
  absl::StatusOr<v1::SnapshotInfo> PublishPolicy(int64_t iteration, int64_t steps, bool kept,
                                                 const std::string& bytes) override;
  absl::StatusOr<std::string> LoadPolicy(int64_t version) override;
  absl::StatusOr<std::pair<v1::SnapshotInfo, std::string>> LoadPolicyOf(int64_t run_id,
                                                                        int64_t version) override;
  absl::Status SetBest(int64_t version) override;
  absl::Status SaveCheckpoint(const v1::LearnerState& state, const std::string& bytes) override;
  absl::StatusOr<std::pair<v1::LearnerState, std::string>> LoadCheckpoint() override;
  absl::StatusOr<std::shared_ptr<const Reward>> RewardOf(int64_t iteration,
                                                         absl::Duration timeout) override;
  absl::StatusOr<std::shared_ptr<const Reward>> RewardAfter(int64_t version,
                                                            absl::Duration timeout) override;
  absl::StatusOr<std::vector<v1::Moment>> LoadMoments(v1::GetMomentsRequest request) override;
  Asking LookAtAsking() override;
  void SetWantedSteps(int64_t steps) override;

 private:
  void WatchRewards();
  // Notes that it goes to the learner.
  std::shared_ptr<const Reward> HandOut(std::shared_ptr<const Reward> reward);
  void TakeReward(const v1::SnapshotInfo& info, const std::string& bytes);
  // What `find` gives under the lock, as soon as that is not null.
  template <typename Find>
  absl::StatusOr<std::shared_ptr<const Reward>> Wait(absl::Duration timeout, Find find);

  const rpc::Client broker_;
  client::ClaimKeeper* const claim_;
  const int64_t run_id_;
  const std::function<bool()> stop_;
  const std::unique_ptr<v1::ClaimService::Stub> claims_;
  const std::unique_ptr<v1::RunService::Stub> runs_;
  const std::unique_ptr<v1::SnapshotService::Stub> snapshots_;
  const std::unique_ptr<v1::RestartService::Stub> restarts_;

  base::Mutex mutex_;
  base::CondVar changed_;
  // By iteration; the newest few.
  std::map<int64_t, std::shared_ptr<const Reward>> rewards_ ABSL_GUARDED_BY(mutex_);
  int64_t handed_out_ ABSL_GUARDED_BY(mutex_) = 0;  // version of a reward; 0: none yet
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<grpc::ClientContext> watch_ ABSL_GUARDED_BY(mutex_);
  std::thread watcher_;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_GRPC_BROKER_LINK_H_
