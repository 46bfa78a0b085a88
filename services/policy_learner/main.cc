// The policy-learner's program.
#include <string>

#include "absl/flags/flag.h"
#include "common/base/log.h"
#include "common/base/program.h"
#include "common/rpc/client.h"
#include "services/policy_learner/policy_learner.h"

ABSL_FLAG(std::string, broker, "", "Address of the preference-broker: host:port or unix:path.");
ABSL_FLAG(std::string, token_file, "", "File that holds a token of the role learner.");
ABSL_FLAG(std::string, listen, "127.0.0.1:0",
          "Where rollout-workers connect: host:port or unix:path. Port 0 takes "
          "a free one.");
ABSL_FLAG(std::string, advertise, "",
          "How rollout-workers reach this learner, where that is not the "
          "address it listens on.");

int main(int argc, char** argv) {
  backflip::base::InitProgram(
      argc, argv, "policy-learner",
      "Learns the policies of runs. Claims one queued run after the other from "
      "the broker, and serves the rollout-workers that simulate for it.\n"
      "SIGTERM or SIGINT: saves a checkpoint, gives the run back, and ends.");
  backflip::base::ShutdownSignal shutdown;
  if (absl::GetFlag(FLAGS_broker).empty()) {
    backflip::base::LogError("--broker is missing: the address of the preference-broker");
    return 1;
  }
  const auto token = backflip::rpc::ReadTokenFile(absl::GetFlag(FLAGS_token_file));
  if (!token.ok()) {
    backflip::base::LogError(token.status().message());
    return 1;
  }
  auto learner =
      backflip::policy_learner::PolicyLearner::Start({.broker = absl::GetFlag(FLAGS_broker),
                                                      .token = *token,
                                                      .listen = absl::GetFlag(FLAGS_listen),
                                                      .advertise = absl::GetFlag(FLAGS_advertise)});
  if (!learner.ok()) {
    backflip::base::LogError(learner.status().message());
    return 1;
  }
  shutdown.Wait();
  (*learner)->Stop();
  return 0;
}
