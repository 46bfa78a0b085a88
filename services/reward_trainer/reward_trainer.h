// The reward-trainer: serves one run after the other.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_REWARD_TRAINER_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_REWARD_TRAINER_H_

#include <memory>
#include <utility>

#include "common/base/mutex.h"
#include "common/client/run_server.h"
#include "common/rpc/client.h"
#include "services/reward_trainer/run_trainer.h"

namespace backflip::reward_trainer {

// Learns the rewards of one run after the other. A drain saves a checkpoint of the current
// run and gives it back.
class RewardTrainer final : public client::RunServer {
 public:
  explicit RewardTrainer(rpc::Client broker) : RunServer(std::move(broker)) {}
  ~RewardTrainer() override { Stop(); }

 private:
  void Serve(std::unique_ptr<client::ClaimKeeper> claim) override;
  void OnDrain() override;

  base::Mutex mutex_;
  RunTrainer* serving_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_REWARD_TRAINER_H_
