#include "common/nn/reward.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::nn {

absl::StatusOr<RewardModel> RewardModel::FromSnapshot(const Snapshot& snapshot) {
  ASSIGN_OR_RETURN(const std::string kind, snapshot.Text("kind"));
  ASSIGN_OR_RETURN(const std::string activation, snapshot.Text("activation"));
  if (kind != "reward" || activation != "leaky_relu") {
    return absl::InvalidArgumentError(absl::StrCat("a snapshot of kind \"", kind,
                                                   "\" with activation \"", activation,
                                                   "\" is not a leaky_relu reward"));
  }
  ASSIGN_OR_RETURN(const int64_t members, snapshot.Integer("members"));
  ASSIGN_OR_RETURN(const int64_t observations, snapshot.Integer("observations"));
  ASSIGN_OR_RETURN(const std::vector<int64_t> sizes, snapshot.Integers("layers"));
  if (members < 1 || members > 1000 || sizes.size() < 2 || observations < 1 ||
      sizes.front() < observations || sizes.back() != 1 ||
      *std::min_element(sizes.begin(), sizes.end()) < 1) {
    return absl::InvalidArgumentError(
        "a reward has 1 to 1000 members, layers from observation and action "
        "to 1, and observations");
  }
  RewardModel model;
  ASSIGN_OR_RETURN(model.observation_clip_, snapshot.Number("observation_clip"));
  ASSIGN_OR_RETURN(model.action_clip_, snapshot.Number("action_clip"));
  if (!(model.observation_clip_ > 0) || !(model.action_clip_ > 0)) {
    return absl::InvalidArgumentError("a reward's clips must be positive");
  }
  ASSIGN_OR_RETURN(const Tensor* mean, snapshot.Find("observation_mean", {observations}));
  ASSIGN_OR_RETURN(const Tensor* deviation, snapshot.Find("observation_std", {observations}));
  ASSIGN_OR_RETURN(const Tensor* member_mean, snapshot.Find("member_mean", {members}));
  ASSIGN_OR_RETURN(const Tensor* member_std, snapshot.Find("member_std", {members}));
  for (const Tensor* positive : {deviation, member_std}) {
    for (const float value : positive->values) {
      if (!(value > 0)) {
        return absl::InvalidArgumentError("observation_std and member_std must be positive");
      }
    }
  }
  using ConstRow = Eigen::Map<const Eigen::RowVectorXf>;
  model.action_size_ = static_cast<int>(sizes.front() - observations);
  model.mean_ = ConstRow(mean->values.data(), observations);
  model.inverse_std_ = ConstRow(deviation->values.data(), observations).cwiseInverse();
  model.members_.resize(members);
  for (int64_t m = 0; m < members; ++m) {
    model.members_[m].mean = member_mean->values[m];
    model.members_[m].std = member_std->values[m];
  }
  for (size_t i = 0; i + 1 < sizes.size(); ++i) {
    const int64_t in = sizes[i], out = sizes[i + 1];
    ASSIGN_OR_RETURN(const Tensor* weight,
                     snapshot.Find(absl::StrCat("layer", i, ".weight"), {members, in, out}));
    ASSIGN_OR_RETURN(const Tensor* bias,
                     snapshot.Find(absl::StrCat("layer", i, ".bias"), {members, out}));
    for (int64_t m = 0; m < members; ++m) {
      Layer layer;
      layer.weight = Eigen::Map<const RowMajor>(weight->values.data() + m * in * out, in, out);
      layer.bias = ConstRow(bias->values.data() + m * out, out);
      model.members_[m].layers.push_back(std::move(layer));
    }
  }
  return model;
}

void RewardModel::Score(const float* observations, const float* actions, int64_t steps,
                        float* rewards, float* by_member) const {
  using ConstRows = Eigen::Map<const RowMajor>;
  const int o = observation_size();
  RowMajor input(steps, o + action_size_);
  input.leftCols(o) = ((ConstRows(observations, steps, o).rowwise() - mean_).array().rowwise() *
                       inverse_std_.array())
                          .max(-observation_clip_)
                          .min(observation_clip_);
  input.rightCols(action_size_) =
      ConstRows(actions, steps, action_size_).array().max(-action_clip_).min(action_clip_);
  Eigen::Map<Eigen::VectorXf> average(rewards, steps);
  average.setZero();
  for (size_t m = 0; m < members_.size(); ++m) {
    const Member& member = members_[m];
    RowMajor x = input;
    for (size_t i = 0; i < member.layers.size(); ++i) {
      RowMajor y = x * member.layers[i].weight;
      y.rowwise() += member.layers[i].bias;
      if (i + 1 < member.layers.size()) y = y.cwiseMax(0.01f * y);
      x.swap(y);
    }
    const Eigen::VectorXf reward = (x.col(0).array() - member.mean) / member.std;
    if (by_member != nullptr) {
      Eigen::Map<Eigen::VectorXf>(by_member + m * steps, steps) = reward;
    }
    average += reward / static_cast<float>(members_.size());
  }
}

}  // namespace backflip::nn
