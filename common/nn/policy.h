// Gaussian policies, run with Eigen: what a rollout worker needs of LibTorch's
// learner.
//
// A policy snapshot holds
//   observation_mean, observation_std   [o]
//   layer<i>.weight [in, out], layer<i>.bias [out]   for every layer i
//   log_std                             [a]
// and the metadata
//   kind               "policy"
//   layers             sizes from input to output, such as "12,64,64,3"
//   activation         "tanh": after every layer but the last
//   observation_clip   bound on normalised observations, such as "10"
//   action_clip        actions are clipped to ± this before they act
//   noise_correlation  ρ, see Act
// so that, with f = safetensors.numpy.load_file(path) and c = observation_clip,
//   x = np.clip((o - f["observation_mean"]) / f["observation_std"], -c, c)
//   for i in range(n): x = x @ f[f"layer{i}.weight"] + f[f"layer{i}.bias"]
//                      and x = np.tanh(x) unless i is the last
// is the mean action.
#ifndef BACKFLIP_COMMON_NN_POLICY_H_
#define BACKFLIP_COMMON_NN_POLICY_H_

#include <vector>

#include "Eigen/Core"
#include "absl/status/statusor.h"
#include "common/nn/snapshot.h"

namespace backflip::nn {

// Immutable, hence safe to share among threads. Rows are computed one by one,
// so that an action does not depend on how environments are grouped.
class Policy {
 public:
  // InvalidArgument, with the reason, for a snapshot that is not a policy.
  static absl::StatusOr<Policy> FromSnapshot(const Snapshot& snapshot);

  int observation_size() const { return static_cast<int>(mean_.size()); }
  int action_size() const { return static_cast<int>(log_std_.size()); }
  float action_clip() const { return action_clip_; }
  float noise_correlation() const { return noise_correlation_; }

  // The mean action of one observation; arrays of observation_size() and
  // action_size().
  void Mean(const float* observation, float* action) const;

  // Draws one action. `noise` [a] is the environment's exploration noise: the
  // caller keeps it, fills it with standard normal draws when an episode
  // begins, and hands it back unchanged at the next step. `normals` [a] are
  // fresh standard normal draws. noise ← ρ · noise + √(1 − ρ²) · normals;
  // action ← mean + exp(log_std) · noise, not clipped. Returns the action's
  // log-probability as if the noise were independent in time.
  float Act(const float* observation, const float* normals, float* noise, float* action) const;

 private:
  struct Layer {
    Eigen::MatrixXf weight;  // [out, in], column-major: a product reads columns
    Eigen::VectorXf bias;
  };

  Policy() = default;

  std::vector<Layer> layers_;
  Eigen::VectorXf mean_, inverse_std_, log_std_;
  float observation_clip_ = 0;
  float action_clip_ = 0;
  float noise_correlation_ = 0;
};

}  // namespace backflip::nn

#endif  // BACKFLIP_COMMON_NN_POLICY_H_
