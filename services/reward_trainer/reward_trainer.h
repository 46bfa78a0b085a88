// The reward-trainer: serves one run after the other.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_REWARD_TRAINER_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_REWARD_TRAINER_H_

#include <string>
#include <thread>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/rpc/client.h"
#include "services/reward_trainer/run_trainer.h"

namespace backflip::reward_trainer {

class RewardTrainer {
 public:
  explicit RewardTrainer(rpc::Client broker);
  // Drains and waits.
  ~RewardTrainer();

  // Claims and serves runs from a thread of its own.
  void Start();
  // Checkpoints and gives back the run that is served, and claims no more.
  void Drain();
  // Blocks until the thread has ended: OK after a drain, else why it cannot
  // work (a refused token).
  absl::Status Wait();

 private:
  absl::Status Work();
  bool Draining();

  const rpc::Client broker_;
  const std::string claimant_;

  base::Mutex mutex_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  RunTrainer* serving_ ABSL_GUARDED_BY(mutex_) = nullptr;
  absl::Status result_;
  std::thread thread_;
};

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_REWARD_TRAINER_H_
