// Specs and tasks of runs in memory: leases and answers read them far too often to
// parse them each time.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RUN_CACHE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RUN_CACHE_H_

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "common/base/mutex.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/runs/runs.h"

namespace backflip::preference_broker {

// Of one database. Thread-safe.
class RunCache {
 public:
  // As the run was first read: all of it but `spec.labels` and `spec.steps`,
  // which Continue raises, never changes. NOT_FOUND: there is no such run.
  absl::StatusOr<std::shared_ptr<const RunDefinition>> Get(Transaction& t, int64_t run_id);

 private:
  base::Mutex mutex_;
  std::unordered_map<int64_t, std::shared_ptr<const RunDefinition>> runs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RUN_CACHE_H_
