// Task bundles by hash, from the broker and from a folder on this machine.
#ifndef BACKFLIP_SERVICES_ROLLOUT_WORKER_TASK_CACHE_H_
#define BACKFLIP_SERVICES_ROLLOUT_WORKER_TASK_CACHE_H_

#include <cstdint>
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

  // Of all bundles in the folder.
  static constexpr uintmax_t kMostBytes = 512 << 20;

  // `folder` is made when it is first written to. A folder that cannot be
  // written is no error: bundles are then fetched each time. Beyond `most_bytes` those that were
  // used longest ago go, by whichever process, never the newest; a process that reads one goes on.
  TaskCache(std::string folder, Fetch fetch, uintmax_t most_bytes = kMostBytes);

  // The task of `info`, compiled. Blocks while it is fetched and tried (sim::TryTaskBundle). What
  // the folder holds is believed only when its hash fits. FAILED_PRECONDITION when the task
  // simulates otherwise here than where the run was made (another fingerprint); says what to do.
  absl::StatusOr<std::shared_ptr<const sim::Task>> Get(const v1::TaskInfo& info);

 private:
  absl::StatusOr<std::string> Bundle(const std::string& sha256);

  void Shrink() const;

  const std::string folder_;
  const Fetch fetch_;
  const uintmax_t most_bytes_;
  // The one that was asked for last.
  std::string hash_;
  std::shared_ptr<const sim::Task> task_;
};

// $XDG_CACHE_HOME/backflip, ~/.cache/backflip, or one in the folder for
// temporary files where there is no home.
std::string DefaultCacheFolder();

}  // namespace backflip::rollout_worker

#endif  // BACKFLIP_SERVICES_ROLLOUT_WORKER_TASK_CACHE_H_
