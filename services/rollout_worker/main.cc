// The rollout-worker's program.
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "common/base/cores.h"
#include "common/base/flags.h"
#include "common/rpc/daemon.h"
#include "services/rollout_worker/rollout_worker.h"

ABSL_FLAG(int, threads, 0, "simulation threads; 0: one for each core");
ABSL_FLAG(std::string, cache, "",
          "folder in which task bundles are kept; default: $XDG_CACHE_HOME/backflip or "
          "~/.cache/backflip");

namespace backflip::rollout_worker {
namespace {
const base::FlagRule threads_rule(FLAGS_threads, 0, 1024);
}  // namespace
}  // namespace backflip::rollout_worker

int main(int argc, char** argv) {
  using namespace backflip;
  return rpc::DaemonMain(
      argc, argv, "rollout-worker",
      "Simulates for whichever run wants steps most: asks the broker for work, dials the run's "
      "learner, and turns its tickets into rollouts and clips.\n"
      "SIGTERM or SIGINT: returns the tickets in hand, and ends. A worker may also be killed at "
      "any time: its tickets go to others.",
      [](rpc::Client broker) -> absl::StatusOr<std::unique_ptr<rpc::Daemon>> {
        rollout_worker::RolloutWorkerConfig config{.threads = absl::GetFlag(FLAGS_threads),
                                                   .cache_folder = absl::GetFlag(FLAGS_cache)};
        if (config.threads == 0) {
          config.threads = base::UsableCores();
        }
        if (config.cache_folder.empty()) config.cache_folder = rollout_worker::DefaultCacheFolder();
        return std::make_unique<rollout_worker::RolloutWorker>(std::move(broker),
                                                               std::move(config));
      });
}
