// Watches the state of a run: its batches, whether questions are asked, whether it is over.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_RUN_WATCHER_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_RUN_WATCHER_H_

#include <functional>
#include <memory>

#include "common/rpc/client.h"
#include "services/reward_trainer/listener.h"
#include "services/reward_trainer/run_progress.h"

namespace backflip::reward_trainer {

// Until `ended`. Everything given outlives the listener.
std::unique_ptr<Listener> WatchRun(const rpc::Client& broker, int64_t run_id, RunProgress* progress,
                                   std::function<bool()> ended);

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_RUN_WATCHER_H_
