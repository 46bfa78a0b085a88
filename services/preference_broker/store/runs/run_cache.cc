#include "services/preference_broker/store/runs/run_cache.h"

#include <utility>

#include "common/options/run_spec.h"
#include "services/preference_broker/store/db/run_row.h"

namespace backflip::preference_broker {
namespace {

constexpr size_t kMaxRuns = 1000;

}  // namespace

absl::StatusOr<std::shared_ptr<const LabelingConfig>> RunCache::Get(Transaction& t,
                                                                    int64_t run_id) {
  {
    base::MutexLock lock(&mutex_);
    const auto known = runs_.find(run_id);
    if (known != runs_.end()) return known->second;
  }
  const pqxx::result rows = t.Exec("SELECT spec, task FROM runs WHERE id = $1", run_id);
  if (rows.empty()) return UnknownRun(run_id);
  const v1::RunSpec spec = options::StoredSpec(Blob(rows[0][0]));
  auto run = std::make_shared<LabelingConfig>();
  run->id = run_id;
  run->seed = spec.seed();
  run->queries = spec.queries();
  run->quality = spec.quality();
  run->task.ParseFromString(Blob(rows[0][1]));
  base::MutexLock lock(&mutex_);
  if (runs_.size() >= kMaxRuns) runs_.clear();
  runs_[run_id] = run;
  return std::shared_ptr<const LabelingConfig>(std::move(run));
}

}  // namespace backflip::preference_broker
