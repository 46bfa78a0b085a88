#include <cstdlib>
#include <string>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "common/base/log.h"
#include "common/base/program.h"
#include "common/base/status_macros.h"
#include "common/learn/torch_runtime.h"
#include "common/rpc/client.h"
#include "services/reward_trainer/reward_trainer.h"

ABSL_FLAG(std::string, broker, "", "address of the preference-broker: host:port or unix:path");
ABSL_FLAG(std::string, token_file, "", "file with the token of a trainer");

namespace backflip::reward_trainer {
namespace {

absl::Status Main() {
  if (absl::GetFlag(FLAGS_broker).empty()) {
    return absl::InvalidArgumentError("--broker is missing: the address of the preference-broker");
  }
  ASSIGN_OR_RETURN(std::string token, rpc::ReadTokenFile(absl::GetFlag(FLAGS_token_file)));
  learn::SetUpTorch();
  if (const learn::Blas blas = learn::FindBlas(); !blas.warning.empty()) {
    base::LogWarning(blas.warning, {{"library", blas.library}});
  }

  base::ShutdownSignal shutdown;
  RewardTrainer trainer(rpc::Client(absl::GetFlag(FLAGS_broker), std::move(token)));
  trainer.Start();
  std::thread drain([&] {
    shutdown.Wait();
    trainer.Drain();
  });
  const absl::Status status = trainer.Wait();
  shutdown.Request();
  drain.join();
  return status;
}

}  // namespace
}  // namespace backflip::reward_trainer

int main(int argc, char** argv) {
  backflip::base::InitProgram(
      argc, argv, "reward-trainer",
      "Learns the reward of runs from their labels: claims runs at a preference-broker, chooses "
      "what is asked, trains the ensemble and publishes it.");
  const absl::Status status = backflip::reward_trainer::Main();
  if (status.ok()) return EXIT_SUCCESS;
  backflip::base::LogError("the trainer cannot work", {{"reason", status.message()}});
  return EXIT_FAILURE;
}
