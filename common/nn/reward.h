// Reward ensembles, run with Eigen.
//
// A reward snapshot holds, for e members, o observations and a actions,
//   observation_mean, observation_std   [o]
//   layer<i>.weight [e, in, out], layer<i>.bias [e, out]   for every layer i
//   member_mean, member_std             [e]
// and the metadata
//   kind              "reward"
//   members           e
//   observations      o
//   layers            sizes from input (o + a) to output (1), such as "15,64,64,1"
//   activation        "leaky_relu" with slope 0.01: after every layer but the last
//   observation_clip  bound on normalised observations, such as "10"
//   action_clip       actions are clipped to ± this
// so that member m's reward of one step is
//   x = concatenate(clip((obs - observation_mean) / observation_std, ±observation_clip),
//                   clip(action, ±action_clip))
//   for each layer i: x = x @ layer<i>.weight[m] + layer<i>.bias[m], activated
//   (x - member_mean[m]) / member_std[m]
// and the ensemble's reward is the mean over its members: each member is
// normalised by itself, then averaged (Christiano et al. 2017, section 2.2.3).
#ifndef BACKFLIP_COMMON_NN_REWARD_H_
#define BACKFLIP_COMMON_NN_REWARD_H_

#include <cstdint>
#include <vector>

#include "Eigen/Core"
#include "absl/status/statusor.h"
#include "common/nn/snapshot.h"

namespace backflip::nn {

// Immutable, hence safe to share among threads.
class RewardModel {
 public:
  // InvalidArgument, with the reason, for a snapshot that is not a reward.
  static absl::StatusOr<RewardModel> FromSnapshot(const Snapshot& snapshot);

  int observation_size() const { return static_cast<int>(mean_.size()); }
  int action_size() const { return action_size_; }
  int members() const { return static_cast<int>(members_.size()); }

  // Rewards of `steps` steps: observations [steps, o] and actions [steps, a],
  // row-major, the observation being the one the action was chosen at.
  // `rewards` [steps] are the ensemble's; `by_member` [members, steps], unless
  // null, each member's own.
  void Score(const float* observations, const float* actions, int64_t steps, float* rewards,
             float* by_member = nullptr) const;

 private:
  using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  struct Layer {
    RowMajor weight;  // [in, out]
    Eigen::RowVectorXf bias;
  };
  struct Member {
    std::vector<Layer> layers;
    float mean = 0;
    float std = 1;
  };

  RewardModel() = default;

  std::vector<Member> members_;
  Eigen::RowVectorXf mean_, inverse_std_;
  int action_size_ = 0;
  float observation_clip_ = 0;
  float action_clip_ = 0;
};

}  // namespace backflip::nn

#endif  // BACKFLIP_COMMON_NN_REWARD_H_
