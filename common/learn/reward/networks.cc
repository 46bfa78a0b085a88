#include "common/learn/reward/networks.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/draws.h"
#include "common/base/status_macros.h"
#include "common/learn/random.h"

namespace backflip::learn {
namespace {

// Normalised observations are clamped to ± this, actions to ± their bound.
constexpr double kObservationBound = 5;
constexpr double kActionBound = 1;
// The output layer begins so much smaller, so that sums over a clip's steps begin near 0: even
// chances, where every answer has its full gradient.
constexpr double kOutputScale = 0.01;

std::vector<int64_t> LayerSizes(const v1::RewardModel& model, int inputs) {
  std::vector<int64_t> sizes = {inputs};
  sizes.insert(sizes.end(), model.hidden().begin(), model.hidden().end());
  sizes.push_back(1);
  return sizes;
}

}  // namespace

RewardNetworks::RewardNetworks(const v1::RewardModel& model, uint64_t seed, int observation_size,
                               int action_size)
    : members_(model.members()),
      observation_size_(observation_size),
      action_size_(action_size),
      sizes_(LayerSizes(model, observation_size + action_size)),
      weights_(InitialWeights(seed)),
      normalizer_(observation_size),
      member_mean_(members_, 0.0f),
      member_std_(members_, 1.0f) {}

Parameters::Named RewardNetworks::InitialWeights(uint64_t seed) const {
  at::Generator generator =
      at::detail::createCPUGenerator(KeyedRandom(seed, base::Draw::kEnsembleWeights).Next());
  Parameters::Named named;
  for (size_t i = 0; i < layers(); ++i) {
    // uniform within 1/√in (of the output layer less), every member its own
    const double scale = i + 1 == layers() ? kOutputScale : 1;
    const double bound = scale / std::sqrt(static_cast<double>(sizes_[i]));
    const auto uniform = [&](std::vector<int64_t> shape) {
      return (torch::rand(shape, generator, torch::kFloat32) * 2 - 1) * bound;
    };
    named.emplace_back(absl::StrCat("layer", i, ".weight"),
                       uniform({members_, sizes_[i], sizes_[i + 1]}));
    named.emplace_back(absl::StrCat("layer", i, ".bias"), uniform({members_, 1, sizes_[i + 1]}));
  }
  return named;
}

absl::Status RewardNetworks::Check(const Steps& steps) const {
  const size_t count = steps.observations.size() / observation_size_;
  if (count == 0 || steps.observations.size() != count * observation_size_ ||
      steps.actions.size() != count * action_size_) {
    return absl::InvalidArgumentError(absl::StrCat("reward ensemble: ", steps.observations.size(),
                                                   " observation values and ", steps.actions.size(),
                                                   " action values are not steps of ",
                                                   observation_size_, " and ", action_size_));
  }
  for (const std::vector<float>* values : {&steps.observations, &steps.actions}) {
    for (const float value : *values) {
      if (!std::isfinite(value)) {
        return absl::InvalidArgumentError("reward ensemble: a value that is not finite");
      }
    }
  }
  return absl::OkStatus();
}

torch::Tensor RewardNetworks::Raw(const Steps& steps) const {
  const int64_t count = static_cast<int64_t>(steps.observations.size()) / observation_size_;
  return torch::cat({ToTorch(steps.observations, {count, observation_size_}),
                     ToTorch(steps.actions, {count, action_size_})},
                    1);
}

torch::Tensor RewardNetworks::Inputs(const torch::Tensor& raw) const {
  const torch::Tensor mean = ToTorch(normalizer_.Mean(), {observation_size_});
  const torch::Tensor deviation = ToTorch(normalizer_.StandardDeviation(), {observation_size_});
  const torch::Tensor observations = ((raw.narrow(-1, 0, observation_size_) - mean) / deviation)
                                         .clamp_(-kObservationBound, kObservationBound);
  const torch::Tensor actions =
      raw.narrow(-1, observation_size_, action_size_).clamp(-kActionBound, kActionBound);
  return torch::cat({observations, actions}, -1);
}

torch::Tensor RewardNetworks::Forward(torch::Tensor x) const {
  for (size_t i = 0; i < layers(); ++i) {
    x = torch::baddbmm(weights_[2 * i + 1], x, weights_[2 * i]);
    if (i + 1 < layers()) x = torch::leaky_relu(x, 0.01);
  }
  return x.squeeze(-1);
}

torch::Tensor RewardNetworks::Rewards(const Steps& steps) const {
  torch::NoGradGuard no_grad;
  const torch::Tensor raw = Raw(steps);
  return Forward(Inputs(raw).unsqueeze(0).expand({members_, raw.size(0), sizes_.front()}));
}

std::vector<float> RewardNetworks::Score(const Steps& steps) const {
  const torch::Tensor mean = ToTorch(member_mean_, {members_, 1});
  const torch::Tensor deviation = ToTorch(member_std_, {members_, 1});
  return FromTorch(((Rewards(steps) - mean) / deviation).mean(0)).values;
}

void RewardNetworks::Descend(const torch::Tensor& losses, const std::vector<double>& penalties,
                             double learning_rate) {
  weights_.ClearGradients();
  losses.sum().backward();
  {
    torch::NoGradGuard no_grad;
    const torch::Tensor penalty = torch::tensor(penalties, torch::kFloat32).view({members_, 1, 1});
    for (size_t i = 0; i < layers(); ++i) {
      weights_.Gradient(2 * i).addcmul_(weights_[2 * i].detach(), penalty);
    }
  }
  weights_.Step(learning_rate);
}

void RewardNetworks::AddObservations(const std::vector<float>& observations) {
  normalizer_.Add(observations.data(),
                  static_cast<int64_t>(observations.size()) / observation_size_);
}

void RewardNetworks::NormalizeMembers(const Steps& steps) {
  const torch::Tensor rewards = Rewards(steps);
  const torch::Tensor mean = rewards.mean(1).contiguous();
  const torch::Tensor deviation = rewards.std(1, /*unbiased=*/false).clamp_min(1e-6).contiguous();
  for (int m = 0; m < members_; ++m) {
    member_mean_[m] = mean.data_ptr<float>()[m];
    member_std_[m] = deviation.data_ptr<float>()[m];
  }
}

nn::Snapshot RewardNetworks::ToSnapshot() const {
  nn::Snapshot snapshot;
  for (size_t i = 0; i < layers(); ++i) {
    const std::string name = absl::StrCat("layer", i);
    snapshot.tensors[name + ".weight"] = FromTorch(weights_[2 * i]);
    snapshot.tensors[name + ".bias"] = FromTorch(weights_[2 * i + 1].squeeze(1));
  }
  snapshot.tensors["observation_mean"] = {{observation_size_}, normalizer_.Mean()};
  snapshot.tensors["observation_std"] = {{observation_size_}, normalizer_.StandardDeviation()};
  snapshot.tensors["member_mean"] = {{members_}, member_mean_};
  snapshot.tensors["member_std"] = {{members_}, member_std_};
  snapshot.metadata["kind"] = "reward";
  snapshot.metadata["members"] = absl::StrCat(members_);
  snapshot.metadata["observations"] = absl::StrCat(observation_size_);
  snapshot.metadata["layers"] = absl::StrJoin(sizes_, ",");
  snapshot.metadata["activation"] = "leaky_relu";
  snapshot.SetNumbers("observation_clip", {kObservationBound});
  snapshot.SetNumbers("action_clip", {kActionBound});
  return snapshot;
}

void RewardNetworks::Save(nn::Snapshot* state) const {
  weights_.Save("networks.", state);
  normalizer_.Save("normalizer", state);
  state->tensors["member_mean"] = {{members_}, member_mean_};
  state->tensors["member_std"] = {{members_}, member_std_};
}

absl::Status RewardNetworks::Load(const nn::Snapshot& state) {
  ASSIGN_OR_RETURN(const nn::Tensor* mean, state.Find("member_mean", {members_}));
  ASSIGN_OR_RETURN(const nn::Tensor* deviation, state.Find("member_std", {members_}));
  RETURN_IF_ERROR(weights_.Load("networks.", state));
  RETURN_IF_ERROR(normalizer_.Load("normalizer", state));
  member_mean_ = mean->values;
  member_std_ = deviation->values;
  return absl::OkStatus();
}

}  // namespace backflip::learn
