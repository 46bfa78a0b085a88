#include "common/nn/policy.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::nn {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstVector = Eigen::Map<const Eigen::VectorXf>;

}  // namespace

absl::StatusOr<Policy> Policy::FromSnapshot(const Snapshot& snapshot) {
  ASSIGN_OR_RETURN(const std::string kind, snapshot.Text("kind"));
  ASSIGN_OR_RETURN(const std::string activation, snapshot.Text("activation"));
  if (kind != "policy" || activation != "tanh") {
    return absl::InvalidArgumentError(absl::StrCat("a snapshot of kind \"", kind,
                                                   "\" with activation \"", activation,
                                                   "\" is not a tanh policy"));
  }
  ASSIGN_OR_RETURN(const std::vector<int64_t> sizes, snapshot.Integers("layers"));
  if (sizes.size() < 2 || *std::min_element(sizes.begin(), sizes.end()) < 1) {
    return absl::InvalidArgumentError("a policy has at least one layer, of positive sizes");
  }
  Policy policy;
  ASSIGN_OR_RETURN(policy.observation_clip_, snapshot.Number("observation_clip"));
  ASSIGN_OR_RETURN(policy.action_clip_, snapshot.Number("action_clip"));
  ASSIGN_OR_RETURN(policy.noise_correlation_, snapshot.Number("noise_correlation"));
  if (!(policy.observation_clip_ > 0) || !(policy.action_clip_ > 0) ||
      !(policy.noise_correlation_ >= 0 && policy.noise_correlation_ < 1)) {
    return absl::InvalidArgumentError(
        "a policy's clips must be positive and its noise correlation in [0, 1)");
  }
  ASSIGN_OR_RETURN(const Tensor* mean, snapshot.Find("observation_mean", {sizes.front()}));
  ASSIGN_OR_RETURN(const Tensor* deviation, snapshot.Find("observation_std", {sizes.front()}));
  ASSIGN_OR_RETURN(const Tensor* log_std, snapshot.Find("log_std", {sizes.back()}));
  for (const float value : deviation->values) {
    if (!(value > 0)) {
      return absl::InvalidArgumentError("observation_std must be positive");
    }
  }
  policy.mean_ = ConstVector(mean->values.data(), sizes.front());
  policy.inverse_std_ = ConstVector(deviation->values.data(), sizes.front()).cwiseInverse();
  policy.log_std_ = ConstVector(log_std->values.data(), sizes.back());
  for (size_t i = 0; i + 1 < sizes.size(); ++i) {
    ASSIGN_OR_RETURN(const Tensor* weight,
                     snapshot.Find(absl::StrCat("layer", i, ".weight"), {sizes[i], sizes[i + 1]}));
    ASSIGN_OR_RETURN(const Tensor* bias,
                     snapshot.Find(absl::StrCat("layer", i, ".bias"), {sizes[i + 1]}));
    Layer layer;
    layer.weight =
        Eigen::Map<const RowMajor>(weight->values.data(), sizes[i], sizes[i + 1]).transpose();
    layer.bias = ConstVector(bias->values.data(), sizes[i + 1]);
    policy.layers_.push_back(std::move(layer));
  }
  return policy;
}

void Policy::Mean(const float* observation, float* action) const {
  Eigen::VectorXf x =
      ((ConstVector(observation, observation_size()) - mean_).array() * inverse_std_.array())
          .max(-observation_clip_)
          .min(observation_clip_);
  Eigen::VectorXf y;
  for (size_t i = 0; i < layers_.size(); ++i) {
    y = layers_[i].bias;
    y.noalias() += layers_[i].weight * x;
    if (i + 1 < layers_.size()) y = y.array().tanh();
    x.swap(y);
  }
  Eigen::Map<Eigen::VectorXf>(action, action_size()) = x;
}

float Policy::Act(const float* observation, const float* normals, float* noise,
                  float* action) const {
  constexpr float kLogSqrtTwoPi = 0.9189385332f;
  Mean(observation, action);
  const float fresh = std::sqrt(1 - noise_correlation_ * noise_correlation_);
  float log_probability = 0;
  for (int i = 0; i < action_size(); ++i) {
    noise[i] = noise_correlation_ * noise[i] + fresh * normals[i];
    action[i] += std::exp(log_std_[i]) * noise[i];
    log_probability -= 0.5f * noise[i] * noise[i] + log_std_[i] + kLogSqrtTwoPi;
  }
  return log_probability;
}

}  // namespace backflip::nn
