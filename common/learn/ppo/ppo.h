// Proximal policy optimisation (Schulman et al. 2017) of a Gaussian policy, with
// generalised advantage estimation (Schulman et al. 2016). Where rewards come
// from is the caller's business.
#ifndef BACKFLIP_COMMON_LEARN_PPO_PPO_H_
#define BACKFLIP_COMMON_LEARN_PPO_PPO_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/nn/snapshot.h"

namespace backflip::learn {

struct PpoConfig {
  std::vector<int> hidden = {64, 64};  // tanh layers, policy and value alike
  double gamma = 0.99;
  double lambda = 0.95;
  double clip = 0.2;
  int epochs = 10;
  int minibatch = 512;  // steps
  double learning_rate = 3e-4;
  // Limits the policy's and the value network's gradients, each by itself.
  double gradient_norm = 0.5;
  double entropy = 0.0;
  double initial_log_std = -0.5;
  // The policy's deviation never sinks under exp of this.
  double log_std_floor = -20;
  // Over the first `anneal_updates` updates the learning rate and the floor go
  // in a straight line to these; 0 updates keeps both as they are.
  int64_t anneal_updates = 0;
  double final_learning_rate = 3e-4;
  double final_log_std_floor = -20;
  // ρ of the exploration noise (common/nn/policy.h), in [0, 1).
  double noise_correlation = 0;
  // Rewards of a batch: mean 0 if true; then scaled to `reward_deviation`
  // unless that is 0. Small returns keep the value network near its start.
  bool centre_rewards = true;
  double reward_deviation = 0.1;
  // The end of an episode is a time limit: true counts the value of what would
  // have followed, false counts nothing.
  bool bootstrap_episode_ends = true;
  double observation_clip = 10;
  double action_clip = 1;
  uint64_t seed = 1;
};

// Consecutive steps of one environment, with no reset in between.
struct Trajectory {
  std::vector<float> observations;       // [steps + 1, o]: the last one follows
  std::vector<float> actions;            // [steps, a], not clipped
  std::vector<float> log_probabilities;  // [steps], of the policy that acted
  std::vector<float> rewards;            // [steps]
  bool episode_ended = false;            // at the last step
};

struct PpoStats {
  double policy_loss = 0;
  double value_loss = 0;
  double kl = 0;                  // estimate of KL(old ‖ new) in the last epoch
  double clipped = 0;             // fraction of clipped ratios in the last epoch
  double log_std = 0;             // mean over actions, after the update
  double reward_mean = 0;         // before normalisation
  double explained_variance = 0;  // of the returns, by the old values
};

// Not thread-safe. Calls block for as long as they compute.
class Ppo {
 public:
  // InvalidArgument names the option that is out of range.
  static absl::StatusOr<std::unique_ptr<Ppo>> Create(const PpoConfig& config, int observation_size,
                                                     int action_size);
  ~Ppo();

  // One iteration on one batch. The batch must come from the policy that
  // ToSnapshot() last described, or nearly so. Only afterwards does the
  // observation normaliser take in the batch. InvalidArgument, with nothing
  // changed, for wrong sizes or values that are not finite.
  absl::StatusOr<PpoStats> Update(const std::vector<Trajectory>& batch);

  // Updates so far.
  int64_t updates() const;

  // The policy (common/nn/policy.h).
  nn::Snapshot ToSnapshot() const;

  // Begins as a policy that was trained for `steps` steps elsewhere: with its
  // parameters, exploration and observation normaliser (which weighs as those
  // steps), a fresh value function, and no updates behind it. InvalidArgument,
  // with nothing changed, when it has other sizes.
  absl::Status BeginFrom(const nn::Snapshot& policy, int64_t steps);

  // Weights, moments, normaliser and counters. A learner that loads them (with
  // the same configuration) goes on exactly as the one that saved them.
  nn::Snapshot SaveState() const;
  absl::Status LoadState(const nn::Snapshot& state);

 private:
  struct Impl;
  explicit Ppo(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_PPO_PPO_H_
