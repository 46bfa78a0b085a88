// The reward-trainer's program.
#include <memory>
#include <utility>

#include "common/learn/torch_runtime.h"
#include "common/rpc/daemon.h"
#include "services/reward_trainer/reward_trainer.h"

int main(int argc, char** argv) {
  using namespace backflip;
  return rpc::DaemonMain(
      argc, argv, "reward-trainer",
      "Learns the reward of runs from their labels: claims runs at a preference-broker, chooses "
      "what is asked, trains the ensemble and publishes it.\n"
      "SIGTERM or SIGINT: saves a checkpoint, gives the run back, and ends.",
      [](rpc::Client broker) -> absl::StatusOr<std::unique_ptr<rpc::Daemon>> {
        learn::SetUpTorch();
        learn::ReportBlas();
        return std::make_unique<reward_trainer::RewardTrainer>(std::move(broker));
      });
}
