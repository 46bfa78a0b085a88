// Internal to common/learn: what algorithms share that learn from the newest experience. A
// Gaussian policy and a value function, both of observations that are normalised by all that
// was seen; rewards brought to one scale; advantages (gae.h). The options are those of spec.ppo.
#ifndef BACKFLIP_COMMON_LEARN_ON_POLICY_ON_POLICY_H_
#define BACKFLIP_COMMON_LEARN_ON_POLICY_ON_POLICY_H_

#include <torch/torch.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "common/experience/trajectory.h"
#include "common/learn/algorithm.h"
#include "common/learn/parameters.h"
#include "common/nn/normalizer.h"
#include "common/nn/snapshot.h"

namespace backflip::learn {

// The steps of an update as tensors, one row each.
struct Rows {
  Rows Select(const torch::Tensor& rows) const;

  torch::Tensor observations;  // [steps, o], normalised
  torch::Tensor actions;       // [steps, a]
  torch::Tensor log_probs;     // [steps], of the policy before the update
  // [steps], brought to mean 0 and deviation 1; then those of steps on which an earlier policy b
  // acted are multiplied by min(1, π / b), where π is the policy before the update (as V-trace
  // truncates its weights: Espeholt et al. 2018). The bounds of an update then hold around π for
  // all of them (Queeney et al. 2021, "Generalized proximal policy optimization").
  torch::Tensor advantages;
  torch::Tensor returns;  // [steps]
};

// Options that change over a run, as they are at one moment of it.
struct Annealed {
  Annealed(const v1::Ppo& options, double progress);

  double learning_rate;
  double min_log_std, max_log_std;
};

class OnPolicy : public Algorithm {
 public:
  // Learns from the batch observed last, and again from the ppo.reused_batches before it.
  absl::Status Observe(experience::Batch batch) final;
  // After BeginFrom the first three fit the value function alone: advantages by one that knows
  // nothing would undo what the policy can do.
  absl::StatusOr<Statistics> Improve(const Rewarder& rewarder, double progress) final;
  nn::Snapshot Policy() const final;
  absl::Status BeginFrom(const nn::Snapshot& policy, int64_t steps) final;
  nn::Snapshot SaveState() const final;
  absl::Status LoadState(const nn::Snapshot& state) final;

 protected:
  // `name`: of the algorithm, in messages.
  OnPolicy(const char* name, const v1::RunSpec& spec, Sizes sizes);

  // Moves the policy and the value function by what `rows` say.
  virtual void Update(const Rows& rows, const Annealed& annealed, Statistics* statistics) = 0;

  torch::Tensor Means(const torch::Tensor& observations) const;  // [rows, a]
  torch::Tensor LogProbs(const Rows& rows) const;                // [rows]
  const torch::Tensor& log_std() const { return policy_[2 * layers_]; }

  // Hands the rows to `step` in minibatches, in random order: an epoch.
  void Epoch(const Rows& rows, const std::function<void(const Rows&)>& step);
  // A step of Adam down the loss. Where the loss or its gradient is not finite, nothing changes,
  // and it is counted. Returns the loss.
  double Descend(const torch::Tensor& loss, double learning_rate, Parameters* network);
  // One on the squared error of the values. Returns the error.
  double FitValues(const Rows& rows, double learning_rate);
  // ppo.epochs of these. Charts the mean error.
  void FitValuesAlone(const Rows& rows, const Annealed& annealed, Statistics* statistics);
  void BoundDeviation(const Annealed& annealed);

  const v1::Ppo options_;
  const Sizes sizes_;

 private:
  const uint64_t seed_;
  const size_t layers_;
  at::Generator generator_;  // of the first weights, then of each update

 protected:
  Parameters policy_;  // the layers, then log_std
  Parameters value_;

 private:
  at::Generator Generator(uint64_t update) const;
  absl::Status CheckTrajectory(const experience::Trajectory& trajectory) const;
  struct Experience;
  absl::StatusOr<Experience> Rewarded(const Rewarder& rewarder) const;
  void Normalize(const experience::Batch& batch);
  void TakeIn();
  void MoveInputs(const std::vector<float>& mean, const std::vector<float>& deviation);
  torch::Tensor Normalized(const std::vector<float>& observations) const;
  Rows Estimate(const Experience& experience, Statistics* statistics) const;
  double NoiseCorrelation() const;

  const std::string name_;
  const double noise_seconds_;
  nn::Normalizer normalizer_;
  int64_t updates_ = 0;
  int64_t value_updates_ = 0;  // still to come before the policy moves
  double progress_ = 0;
  std::deque<experience::Batch> batches_;  // oldest first, at most reused_batches + 1
  size_t fresh_ = 0;                       // the newest of them that normalizer_ has not seen
  // Steps of Adam in the update that runs.
  struct Descents {
    int64_t tried = 0, skipped = 0;
    bool none() const { return tried > 0 && skipped == tried; }
  };
  Descents policy_descents_, value_descents_;
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_ON_POLICY_ON_POLICY_H_
