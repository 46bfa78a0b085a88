// The reward of a run at one moment.
#ifndef BACKFLIP_COMMON_METHOD_RUN_REWARD_H_
#define BACKFLIP_COMMON_METHOD_RUN_REWARD_H_

#include <cstdint>
#include <vector>

#include "common/experience/trajectory.h"
#include "common/learn/algorithm.h"
#include "common/nn/reward.h"

namespace backflip::method {

class RunReward final : public learn::Rewarder {
 public:
  // `model` is not owned; null: the true rewards that trajectories carry.
  explicit RunReward(const nn::RewardModel* model, int64_t version = 0)
      : model_(model), version_(version) {}

  int64_t version() const override { return version_; }

  std::vector<float> Score(const experience::Trajectory& trajectory) const override {
    if (model_ == nullptr) return trajectory.true_rewards;
    std::vector<float> rewards(trajectory.steps);
    model_->Score(trajectory.observations.data(), trajectory.actions.data(), trajectory.steps,
                  rewards.data());
    return rewards;
  }

 private:
  const nn::RewardModel* const model_;
  const int64_t version_;
};

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_RUN_REWARD_H_
