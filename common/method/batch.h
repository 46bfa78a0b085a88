// Rollouts as the learner's trajectories, with their rewards.
#ifndef BACKFLIP_COMMON_METHOD_BATCH_H_
#define BACKFLIP_COMMON_METHOD_BATCH_H_

#include <memory>
#include <vector>

#include "backflip/v1/collect.pb.h"
#include "backflip/v1/run.pb.h"
#include "common/learn/ppo/ppo.h"
#include "common/nn/reward.h"

namespace backflip::method {

// Of one batch, in the order of its tickets.
using Rollouts = std::vector<std::unique_ptr<v1::Rollout>>;

// Rollouts that CheckRollout accepted, in their order, cut where episodes
// ended. Rewards come from `model`; null: from the rollouts' true rewards.
std::vector<learn::Trajectory> MakeBatch(const Rollouts& rollouts, const v1::TaskInfo& task,
                                         const nn::RewardModel* model);

// Mean over episodes of the sum of their rewards, from where MakeBatch takes
// them. Expects at least one.
double MeanReturn(const Rollouts& episodes, const nn::RewardModel* model);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_BATCH_H_
