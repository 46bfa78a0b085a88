#include "services/preference_broker/rpc/feed_numberer.h"

#include "services/preference_broker/store/labeling/feed.h"

namespace backflip::preference_broker {

void FeedNumberer::Number(int64_t run_id) {
  {
    base::MutexLock lock(&mutex_);
    if (!busy_.insert(run_id).second) {
      again_.insert(run_id);
      return;
    }
  }
  Start(run_id);
}

void FeedNumberer::Start(int64_t run_id) {
  const bool taken =
      calls_.pool->Submit([this, run_id](Connection& connection) { Run(connection, run_id); });
  if (taken) return;
  base::MutexLock lock(&mutex_);
  busy_.erase(run_id);
  again_.erase(run_id);
}

void FeedNumberer::Run(Connection& connection, int64_t run_id) {
  {
    base::MutexLock lock(&mutex_);
    again_.erase(run_id);
  }
  const absl::Status status = NumberLabels(connection, run_id);
  {
    base::MutexLock lock(&mutex_);
    if (!status.ok() || again_.count(run_id) == 0) {
      busy_.erase(run_id);
      again_.erase(run_id);
      return;
    }
  }
  // labels are coming fast: number many of them in one transaction
  calls_.hub->Wait("", 0, Hub::Clock::now() + kInterval, [this, run_id] { Start(run_id); });
}

}  // namespace backflip::preference_broker
