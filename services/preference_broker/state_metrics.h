// What the database and this broker's queues hold, as metrics. Each of several brokers tells the
// same of the database: queries take the greatest.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STATE_METRICS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STATE_METRICS_H_

#include <functional>
#include <vector>

#include "common/base/mutex.h"
#include "common/metrics/metrics.h"
#include "services/preference_broker/rpc/pool.h"

namespace backflip::preference_broker {

// Thread-safe.
class StateMetrics : public metrics::Source {
 public:
  // `pool` is not owned, and used until End. `ready`: whether the database has answered lately.
  StateMetrics(Pool* pool, std::function<bool()> ready) : pool_(pool), ready_(std::move(ready)) {}

  // Asks the database; without an answer within five seconds what is in it is left out.
  std::vector<prometheus::MetricFamily> Collect() const override;

  // Blocks while somebody reads; from then on there is nothing to read.
  void End();

 private:
  mutable base::Mutex mutex_;
  Pool* pool_ ABSL_GUARDED_BY(mutex_);
  const std::function<bool()> ready_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STATE_METRICS_H_
