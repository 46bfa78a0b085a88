// Policies, run with Eigen: what a rollout worker needs of LibTorch's learner.
//
// A policy snapshot holds
//   observation_mean, observation_std   [o]
//   layer<i>.weight [in, out], layer<i>.bias [out]   for every layer i
//   log_std                             [a]
// and the metadata
//   kind               "policy"
//   encoder            "mlp", the layers: also where it is missing
//   distribution       "gaussian", see Act: also where it is missing
//   layers             sizes from input to output, such as "12,64,64,3"
//   activation         "tanh": after every layer but the last
//   observation_clip   bound on normalised observations, such as "5"
//   action_clip        actions are clipped to ± this before they act
//   noise_correlation  ρ, see Act
// so that, with f = safetensors.numpy.load_file(path) and c = observation_clip,
//   x = np.clip((o - f["observation_mean"]) / f["observation_std"], -c, c)
//   for i in range(n): x = x @ f[f"layer{i}.weight"] + f[f"layer{i}.bias"]
//                      and x = np.tanh(x) unless i is the last
// is the mean action.
#ifndef BACKFLIP_COMMON_NN_POLICY_H_
#define BACKFLIP_COMMON_NN_POLICY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/nn/snapshot.h"

namespace backflip::nn {

// One kind of policy: another encoder or distribution is another implementation.
// Immutable, hence safe to share among threads. Rows are computed one by one, so
// that an action does not depend on how environments are grouped.
class Policy {
 public:
  // InvalidArgument, with the reason, for a snapshot that is not a policy, or one
  // of a kind that is not known here.
  static absl::StatusOr<std::shared_ptr<const Policy>> FromSnapshot(const Snapshot& snapshot);

  virtual ~Policy() = default;
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  virtual int observation_size() const = 0;
  virtual int action_size() const = 0;

  // The mean action of one observation; arrays of observation_size() and
  // action_size().
  virtual void Mean(const float* observation, float* action) const = 0;

  // Draws one action. `noise` [a] is the environment's exploration noise: the
  // caller keeps it, fills it with standard normal draws when an episode
  // begins, and hands it back unchanged at the next step. `normals` [a] are
  // fresh standard normal draws. A Gaussian policy has
  // noise ← ρ · noise + √(1 − ρ²) · normals;
  // action ← mean + exp(log_std) · noise, not clipped. Returns the action's
  // log-probability as if the noise were independent in time.
  virtual float Act(const float* observation, const float* normals, float* noise,
                    float* action) const = 0;

 protected:
  Policy() = default;
};

}  // namespace backflip::nn

#endif  // BACKFLIP_COMMON_NN_POLICY_H_
