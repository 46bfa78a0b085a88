// Task bundles by hash, from the broker and from a folder on this machine.
#ifndef BACKFLIP_SERVICES_ROLLOUT_WORKER_TASK_CACHE_H_
#define BACKFLIP_SERVICES_ROLLOUT_WORKER_TASK_CACHE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "common/sim/task.h"

namespace backflip::rollout_worker {

// Not thread-safe.
class TaskCache {
 public:
  // Fetches the bundle with a hash from elsewhere.
  using Fetch = std::function<absl::StatusOr<std::string>(const std::string& sha256)>;

  // `folder` is made when it is first written to. A folder that cannot be
  // written is no error: bundles are then fetched each time.
  TaskCache(std::string folder, Fetch fetch);

  // The task of `info`, compiled. Blocks while it is fetched and tried (sim::TryTaskBundle). What
  // the folder holds is believed only when its hash fits. FAILED_PRECONDITION when the task
  // simulates otherwise here than where the run was made (another fingerprint); says what to do.
  absl::StatusOr<std::shared_ptr<const sim::Task>> Get(const v1::TaskInfo& info);

 private:
  absl::StatusOr<std::string> Bundle(const std::string& sha256);

  const std::string folder_;
  const Fetch fetch_;
  // The one that was asked for last.
  std::string hash_;
  std::shared_ptr<const sim::Task> task_;
};

// $XDG_CACHE_HOME/backflip, ~/.cache/backflip, or one in the folder for
// temporary files where there is no home.
std::string DefaultCacheFolder();

}  // namespace backflip::rollout_worker

#endif  // BACKFLIP_SERVICES_ROLLOUT_WORKER_TASK_CACHE_H_
