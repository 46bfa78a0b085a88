// The reward of a run at one moment.
#ifndef BACKFLIP_COMMON_METHOD_RUN_REWARD_H_
#define BACKFLIP_COMMON_METHOD_RUN_REWARD_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "common/experience/trajectory.h"
#include "common/learn/algorithm.h"
#include "common/nn/reward.h"

namespace backflip::method {

class RunReward final : public learn::Rewarder {
 public:
  // `model` is not owned; null: the true rewards that trajectories carry. `deviation_bonus`:
  // standard deviations of the members' rewards that Score adds to their mean (pace.h).
  explicit RunReward(const nn::RewardModel* model, int64_t version = 0, double deviation_bonus = 0)
      : model_(model), version_(version), deviation_bonus_(deviation_bonus) {}

  int64_t version() const override { return version_; }

  std::vector<float> Score(const experience::Trajectory& trajectory) const override {
    if (model_ == nullptr) return trajectory.true_rewards;
    std::vector<float> rewards(trajectory.steps);
    if (deviation_bonus_ == 0) {
      model_->Score(trajectory.observations.data(), trajectory.actions.data(), trajectory.steps,
                    rewards.data());
      return rewards;
    }
    const std::vector<float> members = ByMember(trajectory, rewards.data());
    for (int t = 0; t < trajectory.steps; ++t) {
      double squares = 0;
      for (size_t at = t; at < members.size(); at += trajectory.steps) {
        squares += (members[at] - rewards[t]) * (members[at] - rewards[t]);
      }
      rewards[t] += static_cast<float>(deviation_bonus_ * std::sqrt(squares / model_->members()));
    }
    return rewards;
  }

  // Sums over the trajectory by each member of the ensemble. True rewards are one member's.
  std::vector<double> Returns(const experience::Trajectory& trajectory) const {
    std::vector<float> rewards = trajectory.true_rewards;
    if (model_ != nullptr) {
      std::vector<float> mean(trajectory.steps);
      rewards = ByMember(trajectory, mean.data());
    }
    std::vector<double> returns;
    for (auto step = rewards.begin(); step != rewards.end(); step += trajectory.steps) {
      returns.push_back(std::accumulate(step, step + trajectory.steps, 0.0));
    }
    return returns;
  }

 private:
  // Rewards [members, steps]; `mean` [steps] gets the ensemble's.
  std::vector<float> ByMember(const experience::Trajectory& trajectory, float* mean) const {
    std::vector<float> members(static_cast<size_t>(model_->members()) * trajectory.steps);
    model_->Score(trajectory.observations.data(), trajectory.actions.data(), trajectory.steps, mean,
                  members.data());
    return members;
  }

  const nn::RewardModel* const model_;
  const int64_t version_;
  const double deviation_bonus_;
};

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_RUN_REWARD_H_
