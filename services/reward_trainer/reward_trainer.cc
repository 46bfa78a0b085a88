#include "services/reward_trainer/reward_trainer.h"

#include <memory>
#include <utility>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/client/claim_keeper.h"

namespace backflip::reward_trainer {

RewardTrainer::RewardTrainer(rpc::Client broker)
    : broker_(std::move(broker)), claimant_(base::RandomHex128()) {}

RewardTrainer::~RewardTrainer() {
  Drain();
  if (thread_.joinable()) thread_.join();
}

void RewardTrainer::Start() {
  thread_ = std::thread([this] { result_ = Work(); });
}

void RewardTrainer::Drain() {
  base::MutexLock lock(&mutex_);
  draining_ = true;
  if (serving_ != nullptr) serving_->Stop();
}

absl::Status RewardTrainer::Wait() {
  if (thread_.joinable()) thread_.join();
  return result_;
}

bool RewardTrainer::Draining() {
  base::MutexLock lock(&mutex_);
  return draining_;
}

absl::Status RewardTrainer::Work() {
  base::LogInfo("waiting for runs", {{"broker", broker_.address()}});
  base::RetryPolicy forever;
  forever.give_up_after = absl::InfiniteDuration();
  const auto draining = [this] { return Draining(); };
  while (!Draining()) {
    std::unique_ptr<client::ClaimKeeper> claim;
    const absl::Status status = base::Retry(forever, draining, [&]() -> absl::Status {
      ASSIGN_OR_RETURN(claim, client::ClaimKeeper::Claim(broker_, claimant_, "", draining));
      return absl::OkStatus();
    });
    if (Draining()) {
      if (claim != nullptr) (void)claim->GiveBack();
      break;
    }
    RETURN_IF_ERROR(status);
    if (claim == nullptr) continue;
    RunTrainer run(broker_, std::move(claim));
    {
      base::MutexLock lock(&mutex_);
      serving_ = &run;
      if (draining_) run.Stop();
    }
    run.Serve();
    base::MutexLock lock(&mutex_);
    serving_ = nullptr;
  }
  base::LogInfo("drained");
  return absl::OkStatus();
}

}  // namespace backflip::reward_trainer
