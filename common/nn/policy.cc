#include "common/nn/policy.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "Eigen/Core"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::nn {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstVector = Eigen::Map<const Eigen::VectorXf>;

// Layers with tanh between them give the mean of a Gaussian of constant deviation.
class GaussianMlp final : public Policy {
 public:
  static absl::StatusOr<std::shared_ptr<const Policy>> FromSnapshot(const Snapshot& snapshot);

  int observation_size() const override { return static_cast<int>(mean_.size()); }
  int action_size() const override { return static_cast<int>(log_std_.size()); }
  void Mean(const float* observation, float* action) const override;
  float Act(const float* observation, const float* normals, float* noise,
            float* action) const override;

 private:
  struct Layer {
    Eigen::MatrixXf weight;  // [out, in], column-major: a product reads columns
    Eigen::VectorXf bias;
  };

  absl::Status LoadOptions(const Snapshot& snapshot);
  absl::Status LoadTensors(const Snapshot& snapshot, const std::vector<int64_t>& sizes);

  std::vector<Layer> layers_;
  Eigen::VectorXf mean_, inverse_std_, log_std_;
  float observation_clip_ = 0;
  float noise_correlation_ = 0;
};

absl::StatusOr<std::shared_ptr<const Policy>> GaussianMlp::FromSnapshot(const Snapshot& snapshot) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> sizes, snapshot.Integers("layers"));
  if (sizes.size() < 2 || *std::min_element(sizes.begin(), sizes.end()) < 1) {
    return absl::InvalidArgumentError("a policy has at least one layer, of positive sizes");
  }
  auto policy = std::make_shared<GaussianMlp>();
  RETURN_IF_ERROR(policy->LoadOptions(snapshot));
  RETURN_IF_ERROR(policy->LoadTensors(snapshot, sizes));
  return policy;
}

absl::Status GaussianMlp::LoadOptions(const Snapshot& snapshot) {
  ASSIGN_OR_RETURN(observation_clip_, snapshot.Number("observation_clip"));
  ASSIGN_OR_RETURN(const double action_clip, snapshot.Number("action_clip"));
  ASSIGN_OR_RETURN(noise_correlation_, snapshot.Number("noise_correlation"));
  if (!(observation_clip_ > 0) || !(action_clip > 0) ||
      !(noise_correlation_ >= 0 && noise_correlation_ < 1)) {
    return absl::InvalidArgumentError(
        "a policy's clips must be positive and its noise correlation in [0, 1)");
  }
  return absl::OkStatus();
}

absl::Status GaussianMlp::LoadTensors(const Snapshot& snapshot, const std::vector<int64_t>& sizes) {
  ASSIGN_OR_RETURN(const Tensor* mean, snapshot.Find("observation_mean", {sizes.front()}));
  ASSIGN_OR_RETURN(const Tensor* deviation, snapshot.Find("observation_std", {sizes.front()}));
  ASSIGN_OR_RETURN(const Tensor* log_std, snapshot.Find("log_std", {sizes.back()}));
  for (const float value : deviation->values) {
    if (!(value > 0)) {
      return absl::InvalidArgumentError("observation_std must be positive");
    }
  }
  mean_ = ConstVector(mean->values.data(), sizes.front());
  inverse_std_ = ConstVector(deviation->values.data(), sizes.front()).cwiseInverse();
  log_std_ = ConstVector(log_std->values.data(), sizes.back());
  for (size_t i = 0; i + 1 < sizes.size(); ++i) {
    ASSIGN_OR_RETURN(const Tensor* weight,
                     snapshot.Find(absl::StrCat("layer", i, ".weight"), {sizes[i], sizes[i + 1]}));
    ASSIGN_OR_RETURN(const Tensor* bias,
                     snapshot.Find(absl::StrCat("layer", i, ".bias"), {sizes[i + 1]}));
    Layer layer;
    layer.weight =
        Eigen::Map<const RowMajor>(weight->values.data(), sizes[i], sizes[i + 1]).transpose();
    layer.bias = ConstVector(bias->values.data(), sizes[i + 1]);
    layers_.push_back(std::move(layer));
  }
  return absl::OkStatus();
}

void GaussianMlp::Mean(const float* observation, float* action) const {
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

float GaussianMlp::Act(const float* observation, const float* normals, float* noise,
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

}  // namespace

absl::StatusOr<std::shared_ptr<const Policy>> Policy::FromSnapshot(const Snapshot& snapshot) {
  const auto text_or = [&](const char* name, const char* missing) {
    const auto found = snapshot.metadata.find(name);
    return found == snapshot.metadata.end() ? std::string(missing) : found->second;
  };
  const std::string encoder = text_or("encoder", "mlp");
  const std::string distribution = text_or("distribution", "gaussian");
  ASSIGN_OR_RETURN(const std::string kind, snapshot.Text("kind"));
  ASSIGN_OR_RETURN(const std::string activation, snapshot.Text("activation"));
  if (kind != "policy" || encoder != "mlp" || distribution != "gaussian" || activation != "tanh") {
    return absl::InvalidArgumentError(
        absl::StrCat("a snapshot of kind \"", kind, "\" with encoder \"", encoder,
                     "\", distribution \"", distribution, "\" and activation \"", activation,
                     "\" is not a policy that is known here: mlp, gaussian, tanh"));
  }
  return GaussianMlp::FromSnapshot(snapshot);
}

}  // namespace backflip::nn
