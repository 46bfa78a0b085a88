// What a trainer knows of the run that it serves, beyond its own work.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_RUN_PROGRESS_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_RUN_PROGRESS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "backflip/v1/run.pb.h"
#include "common/base/mutex.h"
#include "common/method/label_book.h"

namespace backflip::reward_trainer {

// The threads of feed_follower.h and run_watcher.h write it, RunTrainer reads it.
struct RunProgress {
  explicit RunProgress(const v1::Run& run)
      : book(run.spec().queries().overlap()),
        batches(run.iterations()),
        asking_stopped(run.asking_stopped()),
        long_held(run.long_held()) {}

  // Sets why the run cannot be followed any more.
  void Fail(absl::Status status) {
    base::MutexLock lock(&mutex);
    failure = std::move(status);
    failed = true;
    changed.NotifyAll();
  }

  base::Mutex mutex;
  base::CondVar changed;  // notified of every change
  method::LabelBook book ABSL_GUARDED_BY(mutex);
  std::map<int, absl::Time> answered_at ABSL_GUARDED_BY(mutex);  // newest answer, by labeler
  int64_t batches ABSL_GUARDED_BY(mutex);                        // complete ones
  bool asking_stopped ABSL_GUARDED_BY(mutex);
  int64_t long_held ABSL_GUARDED_BY(mutex);  // places that labelers hold for long
  absl::Status failure ABSL_GUARDED_BY(mutex);
  std::atomic<bool> failed = false;
  std::atomic<bool> run_over = false;  // it is not RUNNING any more
};

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_RUN_PROGRESS_H_
