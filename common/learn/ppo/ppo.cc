#include "common/learn/ppo/ppo.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/learn/parameters.h"
#include "common/learn/random.h"
#include "common/nn/normalizer.h"

namespace backflip::learn {
namespace {

constexpr double kLogSqrtTwoPi = 0.9189385332046727;

absl::Status Check(const PpoConfig& c, int observations, int actions) {
  const auto require = [](bool good, const char* what) {
    return good ? absl::OkStatus() : absl::InvalidArgumentError(what);
  };
  RETURN_IF_ERROR(require(observations > 0 && actions > 0,
                          "PPO: observation and action sizes must be positive"));
  for (const int size : c.hidden) {
    RETURN_IF_ERROR(require(size > 0, "PPO: hidden layers must be positive"));
  }
  RETURN_IF_ERROR(require(c.gamma >= 0 && c.gamma <= 1 && c.lambda >= 0 && c.lambda <= 1,
                          "PPO: gamma and lambda must be in [0, 1]"));
  RETURN_IF_ERROR(require(c.clip > 0 && c.clip < 1, "PPO: clip must be in (0, 1)"));
  RETURN_IF_ERROR(
      require(c.epochs > 0 && c.minibatch > 0, "PPO: epochs and minibatch must be positive"));
  RETURN_IF_ERROR(require(c.learning_rate > 0 && c.final_learning_rate >= 0 && c.gradient_norm > 0,
                          "PPO: learning rates and gradient_norm must be > 0"));
  RETURN_IF_ERROR(require(c.anneal_updates >= 0, "PPO: anneal_updates must be >= 0"));
  RETURN_IF_ERROR(require(c.entropy >= 0 && c.reward_deviation >= 0,
                          "PPO: entropy and reward_deviation must be >= 0"));
  RETURN_IF_ERROR(require(c.noise_correlation >= 0 && c.noise_correlation < 1,
                          "PPO: noise_correlation must be in [0, 1)"));
  return require(c.observation_clip > 0 && c.action_clip > 0,
                 "PPO: observation_clip and action_clip must be > 0");
}

// Weights and biases from input to output; the last layer's start is scaled.
Parameters::Named Network(const std::vector<int64_t>& sizes, double last_gain,
                          at::Generator generator) {
  Parameters::Named named;
  for (size_t i = 0; i + 1 < sizes.size(); ++i) {
    const double gain = i + 2 < sizes.size() ? std::sqrt(2.0) : last_gain;
    named.emplace_back(absl::StrCat("layer", i, ".weight"),
                       Orthogonal(sizes[i], sizes[i + 1], gain, generator));
    named.emplace_back(absl::StrCat("layer", i, ".bias"), torch::zeros({sizes[i + 1]}));
  }
  return named;
}

torch::Tensor Forward(const Parameters& network, size_t layers, torch::Tensor x) {
  for (size_t i = 0; i < layers; ++i) {
    x = torch::addmm(network[2 * i + 1], x, network[2 * i]);
    if (i + 1 < layers) x = torch::tanh(x);
  }
  return x;
}

}  // namespace

struct Ppo::Impl {
  static at::Generator Generator(uint64_t seed, uint64_t update) {
    return at::detail::createCPUGenerator(KeyedRandom(seed, base::Draw::kPpoUpdate, update).Next());
  }

  static std::vector<int64_t> Sizes(const PpoConfig& config, int in, int out) {
    std::vector<int64_t> sizes = {in};
    sizes.insert(sizes.end(), config.hidden.begin(), config.hidden.end());
    sizes.push_back(out);
    return sizes;
  }

  static Parameters::Named PolicyNetwork(const PpoConfig& config, int o, int a,
                                         at::Generator generator) {
    Parameters::Named named = Network(Sizes(config, o, a), /*last_gain=*/0.01, generator);
    named.emplace_back("log_std", torch::full({a}, config.initial_log_std));
    return named;
  }

  Impl(const PpoConfig& config, int o, int a, at::Generator generator)
      : config(config),
        observation_size(o),
        action_size(a),
        layers(config.hidden.size() + 1),
        policy(PolicyNetwork(config, o, a, generator)),
        value(Network(Sizes(config, o, 1), /*last_gain=*/1.0, generator)),
        normalizer(o) {}

  absl::Status Check(const std::vector<Trajectory>& batch) const;
  torch::Tensor Normalized(const torch::Tensor& observations) const;
  absl::StatusOr<PpoStats> Update(const std::vector<Trajectory>& batch);

  const PpoConfig config;
  const int observation_size;
  const int action_size;
  const size_t layers;
  Parameters policy;  // the layers, then log_std
  Parameters value;
  nn::Normalizer normalizer;
  int64_t updates = 0;
};

absl::Status Ppo::Impl::Check(const std::vector<Trajectory>& batch) const {
  if (batch.empty()) return absl::InvalidArgumentError("PPO: an empty batch");
  for (size_t i = 0; i < batch.size(); ++i) {
    const Trajectory& t = batch[i];
    const size_t steps = t.rewards.size();
    if (steps == 0 || t.observations.size() != (steps + 1) * observation_size ||
        t.actions.size() != steps * action_size || t.log_probabilities.size() != steps) {
      return absl::InvalidArgumentError(absl::StrCat(
          "PPO: trajectory ", i, " has ", steps, " rewards; observations must be one row of ",
          observation_size, " more, actions rows of ", action_size,
          ", log-probabilities as many as rewards"));
    }
    for (const std::vector<float>* values :
         {&t.observations, &t.actions, &t.log_probabilities, &t.rewards}) {
      for (const float value : *values) {
        if (!std::isfinite(value)) {
          return absl::InvalidArgumentError(
              absl::StrCat("PPO: trajectory ", i, " holds a value that is not finite"));
        }
      }
    }
  }
  return absl::OkStatus();
}

torch::Tensor Ppo::Impl::Normalized(const torch::Tensor& observations) const {
  const torch::Tensor mean = ToTorch(normalizer.Mean(), {observation_size});
  const torch::Tensor deviation = ToTorch(normalizer.StandardDeviation(), {observation_size});
  return ((observations - mean) / deviation)
      .clamp_(-config.observation_clip, config.observation_clip);
}

absl::StatusOr<PpoStats> Ppo::Impl::Update(const std::vector<Trajectory>& batch) {
  RETURN_IF_ERROR(Check(batch));

  // one row a step, and the rows that only follow, at the end
  std::vector<float> rows, following, actions, old_log_probabilities, rewards;
  for (const Trajectory& t : batch) {
    const auto last = t.observations.end() - observation_size;
    rows.insert(rows.end(), t.observations.begin(), last);
    following.insert(following.end(), last, t.observations.end());
    actions.insert(actions.end(), t.actions.begin(), t.actions.end());
    old_log_probabilities.insert(old_log_probabilities.end(), t.log_probabilities.begin(),
                                 t.log_probabilities.end());
    rewards.insert(rewards.end(), t.rewards.begin(), t.rewards.end());
  }
  const int64_t steps = static_cast<int64_t>(rewards.size());
  const int64_t ends = static_cast<int64_t>(batch.size());
  const torch::Tensor observations = Normalized(ToTorch(rows, {steps, observation_size}));
  const torch::Tensor ends_observations = Normalized(ToTorch(following, {ends, observation_size}));

  PpoStats stats;
  // normalise rewards over the batch
  double mean = 0, squares = 0;
  for (const float reward : rewards) mean += reward;
  mean /= static_cast<double>(steps);
  for (const float reward : rewards) {
    squares += (reward - mean) * (reward - mean);
  }
  const double deviation = std::sqrt(squares / static_cast<double>(steps));
  const double scale =
      config.reward_deviation > 0 && deviation > 1e-8 ? config.reward_deviation / deviation : 1.0;
  for (float& reward : rewards) {
    reward = static_cast<float>(scale * (config.centre_rewards ? reward - mean : reward));
  }
  stats.reward_mean = mean;

  // values, advantages and returns
  torch::Tensor old_values, end_values;
  {
    torch::NoGradGuard no_grad;
    old_values = Forward(value, layers, observations).squeeze(1).contiguous();
    end_values = Forward(value, layers, ends_observations).squeeze(1).contiguous();
  }
  const float* values = old_values.data_ptr<float>();
  std::vector<float> advantages(steps), returns(steps);
  int64_t begin = 0;
  for (int64_t i = 0; i < ends; ++i) {
    const int64_t length = static_cast<int64_t>(batch[i].rewards.size());
    const bool nothing_follows = batch[i].episode_ended && !config.bootstrap_episode_ends;
    double next_value = nothing_follows ? 0 : end_values.data_ptr<float>()[i];
    double advantage = 0;
    for (int64_t t = begin + length - 1; t >= begin; --t) {
      const double delta = rewards[t] + config.gamma * next_value - values[t];
      advantage = delta + config.gamma * config.lambda * advantage;
      advantages[t] = static_cast<float>(advantage);
      returns[t] = static_cast<float>(advantage + values[t]);
      next_value = values[t];
    }
    begin += length;
  }

  const torch::Tensor action = ToTorch(actions, {steps, action_size});
  const torch::Tensor old_log_probability = ToTorch(old_log_probabilities, {steps});
  const torch::Tensor target = ToTorch(returns, {steps});
  torch::Tensor advantage = ToTorch(advantages, {steps});
  stats.explained_variance =
      1 - advantage.var(false).item<double>() / std::max(1e-12, target.var(false).item<double>());
  advantage = (advantage - advantage.mean()) / (advantage.std(/*unbiased=*/false) + 1e-8);

  const double progress = config.anneal_updates > 0
                              ? std::min(1.0, static_cast<double>(updates) / config.anneal_updates)
                              : 0.0;
  const double learning_rate =
      config.learning_rate + progress * (config.final_learning_rate - config.learning_rate);
  const double log_std_floor =
      config.log_std_floor + progress * (config.final_log_std_floor - config.log_std_floor);
  at::Generator generator = Generator(config.seed, updates + 1);
  const torch::Tensor& log_std = policy[2 * layers];
  double policy_loss_sum = 0, value_loss_sum = 0, kl_sum = 0, clipped_sum = 0;
  int64_t minibatches = 0, last_minibatches = 0;
  for (int epoch = 0; epoch < config.epochs; ++epoch) {
    const torch::Tensor order =
        torch::randperm(steps, generator, torch::TensorOptions(torch::kInt64));
    // a shorter rest would weigh its steps more
    for (int64_t first = 0; first < steps; first += config.minibatch) {
      const int64_t size = std::min<int64_t>(config.minibatch, steps - first);
      if (size < config.minibatch && first > 0) break;
      const torch::Tensor rows = order.narrow(0, first, size);
      const torch::Tensor x = observations.index_select(0, rows);
      const torch::Tensor a = advantage.index_select(0, rows);
      const torch::Tensor mean = Forward(policy, layers, x);
      const torch::Tensor distance = (action.index_select(0, rows) - mean) * torch::exp(-log_std);
      const torch::Tensor log_probability =
          distance.square().sum(1) * -0.5 - (log_std.sum() + kLogSqrtTwoPi * action_size);
      const torch::Tensor log_ratio = log_probability - old_log_probability.index_select(0, rows);
      const torch::Tensor ratio = log_ratio.exp();
      torch::Tensor policy_loss =
          -torch::min(ratio * a, ratio.clamp(1 - config.clip, 1 + config.clip) * a).mean();
      const torch::Tensor value_loss =
          (Forward(value, layers, x).squeeze(1) - target.index_select(0, rows)).square().mean();
      policy_loss_sum += policy_loss.item<double>();
      value_loss_sum += value_loss.item<double>();
      ++minibatches;
      if (epoch + 1 == config.epochs) {
        torch::NoGradGuard no_grad;
        kl_sum += (ratio - 1 - log_ratio).mean().item<double>();
        clipped_sum += ((ratio - 1).abs() > config.clip).to(torch::kFloat32).mean().item<double>();
        ++last_minibatches;
      }
      if (config.entropy > 0) {
        policy_loss = policy_loss - config.entropy * log_std.sum();
      }
      policy.ClearGradients();
      value.ClearGradients();
      (policy_loss + value_loss).backward();
      policy.ClipGradients(config.gradient_norm);
      value.ClipGradients(config.gradient_norm);
      policy.Step(learning_rate);
      value.Step(learning_rate);
      torch::NoGradGuard no_grad;
      log_std.detach().clamp_min_(log_std_floor);
    }
  }
  normalizer.Add(rows.data(), steps);
  ++updates;
  stats.policy_loss = policy_loss_sum / static_cast<double>(minibatches);
  stats.value_loss = value_loss_sum / static_cast<double>(minibatches);
  stats.kl = kl_sum / static_cast<double>(last_minibatches);
  stats.clipped = clipped_sum / static_cast<double>(last_minibatches);
  stats.log_std = log_std.mean().item<double>();
  return stats;
}

Ppo::Ppo(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ppo::~Ppo() = default;

absl::StatusOr<std::unique_ptr<Ppo>> Ppo::Create(const PpoConfig& config, int observation_size,
                                                 int action_size) {
  RETURN_IF_ERROR(Check(config, observation_size, action_size));
  std::unique_ptr<Ppo> ppo;
  RETURN_IF_ERROR(Guard("PPO", [&] {
    ppo.reset(new Ppo(std::make_unique<Impl>(config, observation_size, action_size,
                                             Impl::Generator(config.seed, 0))));
    return absl::OkStatus();
  }));
  return ppo;
}

absl::StatusOr<PpoStats> Ppo::Update(const std::vector<Trajectory>& batch) {
  absl::StatusOr<PpoStats> stats;
  RETURN_IF_ERROR(Guard("PPO update", [&] {
    stats = impl_->Update(batch);
    return stats.status();
  }));
  return stats;
}

int64_t Ppo::updates() const { return impl_->updates; }

nn::Snapshot Ppo::ToSnapshot() const {
  nn::Snapshot snapshot;
  const int o = impl_->observation_size;
  for (size_t i = 0; i < impl_->layers; ++i) {
    const std::string name = absl::StrCat("layer", i);
    snapshot.tensors[name + ".weight"] = FromTorch(impl_->policy[2 * i]);
    snapshot.tensors[name + ".bias"] = FromTorch(impl_->policy[2 * i + 1]);
  }
  snapshot.tensors["log_std"] = FromTorch(impl_->policy[2 * impl_->layers]);
  snapshot.tensors["observation_mean"] = {{o}, impl_->normalizer.Mean()};
  snapshot.tensors["observation_std"] = {{o}, impl_->normalizer.StandardDeviation()};
  snapshot.metadata["kind"] = "policy";
  snapshot.metadata["layers"] =
      absl::StrJoin(Impl::Sizes(impl_->config, o, impl_->action_size), ",");
  snapshot.metadata["activation"] = "tanh";
  snapshot.SetNumbers("observation_clip", {impl_->config.observation_clip});
  snapshot.SetNumbers("action_clip", {impl_->config.action_clip});
  snapshot.SetNumbers("noise_correlation", {impl_->config.noise_correlation});
  return snapshot;
}

absl::Status Ppo::BeginFrom(const nn::Snapshot& policy, int64_t steps) {
  const int o = impl_->observation_size;
  ASSIGN_OR_RETURN(const nn::Tensor* mean, policy.Find("observation_mean", {o}));
  ASSIGN_OR_RETURN(const nn::Tensor* deviation, policy.Find("observation_std", {o}));
  // a state without moments
  nn::Snapshot state;
  impl_->policy.Save("policy.", &state);
  for (auto& [name, tensor] : state.tensors) {
    const std::string own = name.substr(std::string("policy.").size());
    if (absl::EndsWith(own, ".m") || absl::EndsWith(own, ".v")) {
      std::fill(tensor.values.begin(), tensor.values.end(), 0.0f);
      continue;
    }
    ASSIGN_OR_RETURN(const nn::Tensor* found, policy.Find(own, tensor.shape));
    tensor = *found;
  }
  state.metadata["policy.steps"] = "0";
  return Guard("PPO policy", [&]() -> absl::Status {
    RETURN_IF_ERROR(impl_->policy.Load("policy.", state));
    impl_->normalizer.Restore(mean->values, deviation->values, std::max<int64_t>(2, steps));
    return absl::OkStatus();
  });
}

nn::Snapshot Ppo::SaveState() const {
  nn::Snapshot state;
  impl_->policy.Save("policy.", &state);
  impl_->value.Save("value.", &state);
  impl_->normalizer.Save("normalizer", &state);
  state.metadata["kind"] = "ppo_state";
  state.metadata["updates"] = absl::StrCat(impl_->updates);
  return state;
}

absl::Status Ppo::LoadState(const nn::Snapshot& state) {
  ASSIGN_OR_RETURN(const int64_t updates, state.Integer("updates"));
  return Guard("PPO state", [&]() -> absl::Status {
    RETURN_IF_ERROR(impl_->policy.Load("policy.", state));
    RETURN_IF_ERROR(impl_->value.Load("value.", state));
    RETURN_IF_ERROR(impl_->normalizer.Load("normalizer", state));
    impl_->updates = updates;
    return absl::OkStatus();
  });
}

}  // namespace backflip::learn
