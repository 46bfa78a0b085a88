// Internal to common/learn: the networks of the reward ensemble, trained as one batched
// network, with the normalisers on both sides of them.
#ifndef BACKFLIP_COMMON_LEARN_REWARD_NETWORKS_H_
#define BACKFLIP_COMMON_LEARN_REWARD_NETWORKS_H_

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "backflip/v1/run.pb.h"
#include "common/learn/parameters.h"
#include "common/nn/normalizer.h"
#include "common/nn/snapshot.h"

namespace backflip::learn {

// What is rewarded: an observation, and the action that was chosen on it.
struct Steps {
  std::vector<float> observations;  // [steps, o]
  std::vector<float> actions;       // [steps, a]
};

// e members with leaky ReLU layers; each gives a reward for each step. Not thread-safe.
class RewardNetworks {
 public:
  RewardNetworks(const v1::RewardModel& model, uint64_t seed, int observation_size,
                 int action_size);

  int members() const { return members_; }
  int observation_size() const { return observation_size_; }
  int action_size() const { return action_size_; }

  // INVALID_ARGUMENT unless these are one or more steps, and every number is finite.
  absl::Status Check(const Steps& steps) const;
  // [steps, o + a]
  torch::Tensor Raw(const Steps& steps) const;
  // Raw steps [..., o + a], normalised and clamped as the networks take them.
  torch::Tensor Inputs(const torch::Tensor& raw) const;
  // Each member's rewards [e, n] of its own inputs `x` [e, n, o + a], not normalised.
  torch::Tensor Forward(torch::Tensor x) const;
  // Each member's rewards [e, steps] of the same steps, not normalised, without gradients.
  torch::Tensor Rewards(const Steps& steps) const;
  // Rewards [steps]: the mean over the members, each normalised.
  std::vector<float> Score(const Steps& steps) const;

  // One step of Adam on the members' losses [e], and on each member's L2 penalty on its weights.
  void Descend(const torch::Tensor& losses, const std::vector<double>& penalties,
               double learning_rate);

  // Takes observations into the input normaliser.
  void AddObservations(const std::vector<float>& observations);
  // Each member's rewards of these steps get mean 0 and deviation 1.
  void NormalizeMembers(const Steps& steps);

  // For publishing (common/nn/reward.h).
  nn::Snapshot ToSnapshot() const;
  // Everything, bit for bit. Load: INVALID_ARGUMENT or NOT_FOUND when a part is missing
  // or has another size.
  void Save(nn::Snapshot* state) const;
  absl::Status Load(const nn::Snapshot& state);

 private:
  size_t layers() const { return sizes_.size() - 1; }
  Parameters::Named InitialWeights(uint64_t seed) const;

  const int members_;
  const int observation_size_;
  const int action_size_;
  const std::vector<int64_t> sizes_;  // of the layers, from input to output
  Parameters weights_;                // of layer i: 2 i weights, 2 i + 1 biases
  nn::Normalizer normalizer_;
  std::vector<float> member_mean_, member_std_;  // [e]
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_REWARD_NETWORKS_H_
