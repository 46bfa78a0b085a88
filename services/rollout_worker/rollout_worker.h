// The rollout-worker: serves one learner after the other.
#ifndef BACKFLIP_SERVICES_ROLLOUT_WORKER_ROLLOUT_WORKER_H_
#define BACKFLIP_SERVICES_ROLLOUT_WORKER_ROLLOUT_WORKER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/base/mutex.h"
#include "common/rpc/client.h"
#include "common/rpc/daemon.h"
#include "common/sim/simulator.h"
#include "services/rollout_worker/collect_session.h"
#include "services/rollout_worker/task_cache.h"

namespace backflip::rollout_worker {

struct RolloutWorkerConfig {
  // Simulation threads, at least 1.
  int threads = 1;
  // Where bundles are kept.
  std::string cache_folder;
};

// Asks the broker for work and serves whichever learner it is given. A broker or learner
// that is away is tried again for ever, in pauses that grow; a token that the broker
// refuses ends it. A drain finishes and returns the tickets in hand and takes no new ones;
// it waits as long as they take, and up to 10 s more where the broker is away.
class RolloutWorker final : public rpc::Daemon {
 public:
  RolloutWorker(rpc::Client broker, RolloutWorkerConfig config);
  ~RolloutWorker() override { Stop(); }

 private:
  absl::Status Work() override;
  void OnDrain() override;
  // Waits up to `wait_ms` for work; run 0: there is none.
  absl::StatusOr<v1::Assignment> AskForWork(int wait_ms);
  absl::Status Serve(const v1::Assignment& assignment);
  // Remembers what the broker is told with the next question for work.
  void CannotServe(const v1::Assignment& assignment, const absl::Status& why);
  absl::Status Load(const v1::Assignment& assignment);

  const RolloutWorkerConfig config_;
  const rpc::Client broker_;
  const std::string name_;
  const std::unique_ptr<v1::WorkService::Stub> work_;
  TaskCache tasks_;
  // Kept from one assignment to the next of the same task.
  std::unique_ptr<sim::Simulator> simulator_;
  // Of that task.
  std::string rounding_;

  // A run that this worker cannot serve, and why; 0: none, or the broker knows.
  int64_t failed_run_ = 0;
  std::string failure_;

  base::Mutex mutex_;
  // Of the long poll in progress, or null.
  grpc::ClientContext* asking_ ABSL_GUARDED_BY(mutex_) = nullptr;
  CollectSession* session_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace backflip::rollout_worker

#endif  // BACKFLIP_SERVICES_ROLLOUT_WORKER_ROLLOUT_WORKER_H_
