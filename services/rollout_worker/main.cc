// The rollout-worker's program.
#include <algorithm>
#include <string>
#include <thread>

#include "absl/flags/flag.h"
#include "common/base/log.h"
#include "common/base/program.h"
#include "common/rpc/client.h"
#include "services/rollout_worker/rollout_worker.h"

ABSL_FLAG(std::string, broker, "", "Address of the preference-broker: host:port or unix:path.");
ABSL_FLAG(std::string, token_file, "", "File that holds a token of the role worker.");
ABSL_FLAG(int, threads, 0, "Simulation threads. 0: one for each core.");
ABSL_FLAG(std::string, cache, "",
          "Folder in which task bundles are kept. Default: "
          "$XDG_CACHE_HOME/backflip or ~/.cache/backflip.");

int main(int argc, char** argv) {
  backflip::base::InitProgram(
      argc, argv, "rollout-worker",
      "Simulates for whichever run wants steps most: asks the broker for work, "
      "dials the run's learner, and turns its tickets into rollouts and clips.\n"
      "SIGTERM or SIGINT: returns the tickets in hand, and ends. A worker may "
      "also be killed at any time: its tickets go to others.");
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
  int threads = absl::GetFlag(FLAGS_threads);
  if (threads < 0 || threads > 1024) {
    backflip::base::LogError("--threads is out of range; allowed: 0 to 1024");
    return 1;
  }
  if (threads == 0) {
    threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  std::string cache = absl::GetFlag(FLAGS_cache);
  if (cache.empty()) cache = backflip::rollout_worker::DefaultCacheFolder();

  backflip::rollout_worker::RolloutWorker worker({.broker = absl::GetFlag(FLAGS_broker),
                                                  .token = *token,
                                                  .threads = threads,
                                                  .cache_folder = cache});
  shutdown.Wait();
  worker.Stop();
  return 0;
}
