// Reads the label feed of a run into its label book.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_FEED_FOLLOWER_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_FEED_FOLLOWER_H_

#include <functional>
#include <memory>

#include "backflip/v1/run.pb.h"
#include "common/rpc/client.h"
#include "services/reward_trainer/listener.h"
#include "services/reward_trainer/run_progress.h"

namespace backflip::reward_trainer {

// From the position after the newest entry in progress->book, until `ended`. Everything
// given outlives the listener.
std::unique_ptr<Listener> FollowFeed(const rpc::Client& broker, const v1::Run& run,
                                     RunProgress* progress, std::function<bool()> ended);

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_FEED_FOLLOWER_H_
