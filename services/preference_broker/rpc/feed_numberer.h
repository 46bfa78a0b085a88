// Numbers the labels of runs, soon after they are committed.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_FEED_NUMBERER_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_FEED_NUMBERER_H_

#include <chrono>
#include <cstdint>
#include <set>

#include "common/base/mutex.h"
#include "services/preference_broker/rpc/calls.h"

namespace backflip::preference_broker {

// Gives committed labels their places in the feeds, one job per run at a time. Thread-safe.
class FeedNumberer {
 public:
  explicit FeedNumberer(CallContext calls) : calls_(calls) {}
  // Numbers the run's labels soon, on the pool. If the pool is full, the broker's housekeeping
  // finds the labels later.
  void Number(int64_t run_id);

 private:
  // Least time between two numberings of a run.
  static constexpr std::chrono::milliseconds kInterval{20};

  void Start(int64_t run_id);
  void Run(Connection& connection, int64_t run_id);

  const CallContext calls_;
  base::Mutex mutex_;
  // Runs with a job, and those of them that got labels since it began.
  std::set<int64_t> busy_ ABSL_GUARDED_BY(mutex_);
  std::set<int64_t> again_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_FEED_NUMBERER_H_
