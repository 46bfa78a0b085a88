#include "services/reward_trainer/reward_trainer.h"

namespace backflip::reward_trainer {

void RewardTrainer::Serve(std::unique_ptr<client::ClaimKeeper> claim) {
  RunTrainer run(broker(), std::move(claim));
  {
    base::MutexLock lock(&mutex_);
    serving_ = &run;
    if (Draining()) run.Stop();
  }
  run.Serve();
  base::MutexLock lock(&mutex_);
  serving_ = nullptr;
}

void RewardTrainer::OnDrain() {
  base::MutexLock lock(&mutex_);
  if (serving_ != nullptr) serving_->Stop();
}

}  // namespace backflip::reward_trainer
