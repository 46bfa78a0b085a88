// The policy-learner's program.
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/base/status_macros.h"
#include "common/learn/torch_runtime.h"
#include "common/rpc/daemon.h"
#include "services/policy_learner/policy_learner.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:0",
          "where rollout-workers connect; port 0 takes a free one");
ABSL_FLAG(
    std::string, advertise, "",
    "how rollout-workers reach this learner; default: where it listens, which for 0.0.0.0 and [::] "
    "is the address of this machine's interface on the way to the broker");

namespace backflip::policy_learner {
namespace {

const base::FlagRule listen_rule(FLAGS_listen, base::kAddressWords, base::IsAddress);
const base::FlagRule advertise_rule(FLAGS_advertise,
                                    absl::StrCat(base::kAddressWords, ", or nothing"),
                                    [](const std::string& text) {
                                      return text.empty() || base::IsAddress(text);
                                    });

}  // namespace
}  // namespace backflip::policy_learner

int main(int argc, char** argv) {
  using namespace backflip;
  return rpc::DaemonMain(
      argc, argv, "policy-learner",
      "Learns the policies of runs: claims one queued run after the other at a preference-broker, "
      "and serves the rollout-workers that simulate for it.\n"
      "SIGTERM or SIGINT: saves a checkpoint, gives the run back, and ends.",
      [](rpc::Client broker) -> absl::StatusOr<std::unique_ptr<rpc::Daemon>> {
        learn::ReportBlas();
        return policy_learner::PolicyLearner::Listen(
            std::move(broker),
            {.listen = absl::GetFlag(FLAGS_listen), .advertise = absl::GetFlag(FLAGS_advertise)});
      });
}
