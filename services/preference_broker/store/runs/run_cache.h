// What leases and answers need of a run, in memory: they read it far too often to parse it
// each time.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RUN_CACHE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RUN_CACHE_H_

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "common/base/mutex.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// The parts of a run's spec and task that labeling depends on. None of them changes once
// the run is made, as its budgets do.
struct LabelingConfig {
  int64_t id = 0;  // the run's
  uint64_t seed = 0;
  v1::Queries queries;
  v1::Quality quality;
  v1::TaskInfo task;
};

// For one database. Thread-safe.
class RunCache {
 public:
  // NOT_FOUND: no such run.
  absl::StatusOr<std::shared_ptr<const LabelingConfig>> Get(Transaction& t, int64_t run_id);

 private:
  base::Mutex mutex_;
  std::unordered_map<int64_t, std::shared_ptr<const LabelingConfig>> runs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RUN_CACHE_H_
