#include "common/learn/ppo/ppo.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/learn/parameters.h"
#include "common/learn/ppo/gae.h"
#include "common/learn/random.h"
#include "common/nn/normalizer.h"

namespace backflip::learn {
namespace {

using experience::Trajectory;

constexpr double kLogSqrtTwoPi = 0.9189385332046727;
// Bounds on normalised observations, and on actions before they act.
constexpr double kObservationClip = 10;
constexpr double kActionClip = 1;

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

std::vector<int64_t> LayerSizes(const v1::Ppo& options, int in, int out) {
  std::vector<int64_t> sizes = {in};
  sizes.insert(sizes.end(), options.hidden().begin(), options.hidden().end());
  sizes.push_back(out);
  return sizes;
}

Parameters::Named PolicyNetwork(const v1::Ppo& options, Sizes sizes, at::Generator generator) {
  Parameters::Named named = Network(LayerSizes(options, sizes.observation, sizes.action),
                                    /*last_gain=*/0.01, generator);
  named.emplace_back("log_std", torch::full({sizes.action}, options.initial_log_std()));
  return named;
}

bool AreFinite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](float value) { return std::isfinite(value); });
}

absl::Status CheckTrajectory(const Trajectory& t, Sizes sizes) {
  const size_t steps = t.steps, ends = t.episode_ends.size();
  const size_t o = sizes.observation, a = sizes.action;
  if (t.steps < 1 || t.observations.size() != steps * o || t.actions.size() != steps * a ||
      t.log_probs.size() != steps || t.end_observations.size() != ends * o ||
      t.last_observation.size() != o) {
    return absl::InvalidArgumentError(
        absl::StrCat("PPO: a trajectory of ", t.steps, " steps must have observations of ", o,
                     " numbers, actions of ", a, ", and a log-probability for each"));
  }
  int32_t previous = -1;
  for (const experience::EpisodeEnd& end : t.episode_ends) {
    if (end.step <= previous || end.step >= t.steps) {
      return absl::InvalidArgumentError("PPO: episodes of a trajectory end out of order");
    }
    previous = end.step;
  }
  for (const std::vector<float>* values :
       {&t.observations, &t.actions, &t.log_probs, &t.end_observations, &t.last_observation}) {
    if (!AreFinite(*values)) {
      return absl::InvalidArgumentError("PPO: a trajectory holds a value that is not finite");
    }
  }
  return absl::OkStatus();
}

// What one update learns from, in its order.
struct Experience {
  int64_t steps() const { return static_cast<int64_t>(rewards.size()); }

  std::vector<float> observations;  // [steps, o]
  std::vector<float> actions;       // [steps, a]
  std::vector<float> log_probs;     // [steps], of the policy that acted
  std::vector<float> rewards;       // [steps]
  std::vector<experience::Piece> pieces;
  std::vector<float> next_observations;  // [pieces, o]: what follows each piece
};

void Append(const std::vector<float>& values, std::vector<float>* all) {
  all->insert(all->end(), values.begin(), values.end());
}

// Shifts rewards to mean 0 and scales them as the options say: small returns keep the value
// network near its start. Returns the mean before.
double NormalizeRewards(const v1::Ppo& options, std::vector<float>* rewards) {
  const double steps = static_cast<double>(rewards->size());
  double mean = 0, squares = 0;
  for (const float reward : *rewards) mean += reward;
  mean /= steps;
  for (const float reward : *rewards) squares += (reward - mean) * (reward - mean);
  const double deviation = std::sqrt(squares / steps);
  const double scale = deviation > 1e-8 ? options.reward_scale() / deviation : 1.0;
  for (float& reward : *rewards) {
    reward = static_cast<float>(scale * (options.centre_rewards() ? reward - mean : reward));
  }
  return mean;
}

// The steps of an update as tensors, one row each.
struct Rows {
  Rows Select(const torch::Tensor& rows) const {
    return {observations.index_select(0, rows), actions.index_select(0, rows),
            log_probs.index_select(0, rows), advantages.index_select(0, rows),
            returns.index_select(0, rows)};
  }

  torch::Tensor observations;  // [steps, o], normalised
  torch::Tensor actions;       // [steps, a]
  torch::Tensor log_probs;     // [steps], of the policy that acted
  torch::Tensor advantages;    // [steps], of mean 0 and deviation 1
  torch::Tensor returns;       // [steps]
};

// Options that change over a run, as they are at one moment of it.
struct Annealed {
  Annealed(const v1::Ppo& options, double progress)
      : learning_rate(Between(options.learning_rate(),
                              options.learning_rate() * options.final_learning_rate_share(),
                              progress)),
        min_log_std(Between(
            options.min_log_std(),
            options.has_final_min_log_std() ? options.final_min_log_std() : options.min_log_std(),
            progress)) {}
  static double Between(double first, double last, double progress) {
    return first + progress * (last - first);
  }

  const double learning_rate;
  const double min_log_std;
};

class Ppo final : public Algorithm {
 public:
  Ppo(const v1::RunSpec& spec, Sizes sizes)
      : options_(spec.ppo()),
        noise_correlation_(spec.collection().noise_correlation()),
        seed_(base::SeedOf(spec.seed(), base::Draw::kPpo)),
        sizes_(sizes),
        layers_(options_.hidden_size() + 1),
        generator_(Generator(0)),
        policy_(PolicyNetwork(options_, sizes, generator_)),
        value_(Network(LayerSizes(options_, sizes.observation, 1), /*last_gain=*/1.0, generator_)),
        normalizer_(sizes.observation) {}

  absl::Status Observe(experience::Batch batch) override;
  absl::StatusOr<Statistics> Improve(const Rewarder& rewarder, double progress) override;
  nn::Snapshot Policy() const override;
  absl::Status BeginFrom(const nn::Snapshot& policy, int64_t steps) override;
  nn::Snapshot SaveState() const override;
  absl::Status LoadState(const nn::Snapshot& state) override;

 private:
  at::Generator Generator(uint64_t update) const {
    return at::detail::createCPUGenerator(
        KeyedRandom(seed_, base::Draw::kPpoUpdate, update).Next());
  }
  absl::StatusOr<Experience> Rewarded(const Rewarder& rewarder) const;
  torch::Tensor Normalized(const std::vector<float>& observations) const;
  Rows Estimate(const Experience& experience, Statistics* statistics) const;
  void Epochs(const Rows& all, const Annealed& annealed, Statistics* statistics);

  const v1::Ppo options_;
  const double noise_correlation_;
  const uint64_t seed_;
  const Sizes sizes_;
  const size_t layers_;
  at::Generator generator_;  // of the first weights
  Parameters policy_;        // the layers, then log_std
  Parameters value_;
  nn::Normalizer normalizer_;
  int64_t updates_ = 0;
  std::deque<experience::Batch> batches_;  // oldest first, at most reused_batches + 1
};

absl::Status Ppo::Observe(experience::Batch batch) {
  if (batch.trajectories.empty()) return absl::InvalidArgumentError("PPO: an empty batch");
  for (const Trajectory& trajectory : batch.trajectories) {
    RETURN_IF_ERROR(CheckTrajectory(trajectory, sizes_));
  }
  batches_.push_back(std::move(batch));
  if (batches_.size() > static_cast<size_t>(options_.reused_batches()) + 1) batches_.pop_front();
  return absl::OkStatus();
}

absl::StatusOr<Experience> Ppo::Rewarded(const Rewarder& rewarder) const {
  if (batches_.empty()) return absl::InvalidArgumentError("PPO: nothing was observed yet");
  Experience all;
  const auto add = [&](const experience::Batch& batch) -> absl::Status {
    for (const Trajectory& trajectory : batch.trajectories) {
      const std::vector<float> rewards = rewarder.Score(trajectory);
      if (static_cast<int32_t>(rewards.size()) != trajectory.steps || !AreFinite(rewards)) {
        return absl::InvalidArgumentError(
            absl::StrCat("PPO: reward ", rewarder.version(), " gives ", rewards.size(),
                         " rewards for ", trajectory.steps, " steps, or some that are not finite"));
      }
      Append(trajectory.observations, &all.observations);
      Append(trajectory.actions, &all.actions);
      Append(trajectory.log_probs, &all.log_probs);
      Append(rewards, &all.rewards);
      for (const experience::Piece& piece : experience::PiecesOf(trajectory)) {
        all.pieces.push_back(piece);
        Append(experience::Moments(piece, piece.first_step + piece.steps, 1, sizes_.observation,
                                   trajectory.observations, trajectory.end_observations,
                                   trajectory.last_observation),
               &all.next_observations);
      }
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(add(batches_.back()));
  for (size_t i = 0; i + 1 < batches_.size(); ++i) RETURN_IF_ERROR(add(batches_[i]));
  return all;
}

torch::Tensor Ppo::Normalized(const std::vector<float>& observations) const {
  const int o = sizes_.observation;
  const torch::Tensor rows =
      ToTorch(observations, {static_cast<int64_t>(observations.size()) / o, o});
  const torch::Tensor mean = ToTorch(normalizer_.Mean(), {o});
  const torch::Tensor deviation = ToTorch(normalizer_.StandardDeviation(), {o});
  return ((rows - mean) / deviation).clamp_(-kObservationClip, kObservationClip);
}

absl::StatusOr<Statistics> Ppo::Improve(const Rewarder& rewarder, double progress) {
  Statistics statistics;
  RETURN_IF_ERROR(Guard("PPO update", [&]() -> absl::Status {
    ASSIGN_OR_RETURN(Experience experience, Rewarded(rewarder));
    statistics["reward_mean"] = NormalizeRewards(options_, &experience.rewards);
    const Rows rows = Estimate(experience, &statistics);
    Epochs(rows, Annealed(options_, progress), &statistics);
    normalizer_.Add(experience.observations.data(), experience.steps());
    ++updates_;
    return absl::OkStatus();
  }));
  return statistics;
}

Rows Ppo::Estimate(const Experience& experience, Statistics* statistics) const {
  torch::NoGradGuard no_grad;
  const int64_t steps = experience.steps();
  Rows rows;
  rows.observations = Normalized(experience.observations);
  rows.actions = ToTorch(experience.actions, {steps, sizes_.action});
  rows.log_probs = ToTorch(experience.log_probs, {steps});
  const auto values = [&](const torch::Tensor& x) {
    return FromTorch(Forward(value_, layers_, x).squeeze(1)).values;
  };
  const AdvantageEstimates estimates = EstimateAdvantages(
      experience.rewards, values(rows.observations), experience.pieces,
      values(Normalized(experience.next_observations)), options_.discount(), options_.gae_lambda());
  rows.returns = ToTorch(estimates.returns, {steps});
  const torch::Tensor advantages = ToTorch(estimates.advantages, {steps});
  rows.advantages = (advantages - advantages.mean()) / (advantages.std(/*unbiased=*/false) + 1e-8);
  // of the returns, by the values before the update
  (*statistics)["explained_variance"] =
      1 - advantages.var(false).item<double>() /
              std::max(1e-12, rows.returns.var(false).item<double>());
  return rows;
}

void Ppo::Epochs(const Rows& all, const Annealed& annealed, Statistics* statistics) {
  const int64_t steps = all.observations.size(0), minibatch = options_.minibatch_steps();
  at::Generator generator = Generator(updates_ + 1);
  const torch::Tensor& log_std = policy_[2 * layers_];
  double policy_loss_sum = 0, value_loss_sum = 0, kl_sum = 0, clipped_sum = 0;
  int64_t minibatches = 0, last_minibatches = 0;
  for (int epoch = 0; epoch < options_.epochs(); ++epoch) {
    const torch::Tensor order =
        torch::randperm(steps, generator, torch::TensorOptions(torch::kInt64));
    // a shorter rest would weigh its steps more
    for (int64_t first = 0; first < steps; first += minibatch) {
      const int64_t size = std::min(minibatch, steps - first);
      if (size < minibatch && first > 0) break;
      const Rows rows = all.Select(order.narrow(0, first, size));
      const torch::Tensor distance =
          (rows.actions - Forward(policy_, layers_, rows.observations)) * torch::exp(-log_std);
      const torch::Tensor log_prob =
          distance.square().sum(1) * -0.5 - (log_std.sum() + kLogSqrtTwoPi * sizes_.action);
      const torch::Tensor log_ratio = log_prob - rows.log_probs;
      const torch::Tensor ratio = log_ratio.exp();
      torch::Tensor policy_loss =
          -torch::min(ratio * rows.advantages,
                      ratio.clamp(1 - options_.clip(), 1 + options_.clip()) * rows.advantages)
               .mean();
      const torch::Tensor value_loss =
          (Forward(value_, layers_, rows.observations).squeeze(1) - rows.returns).square().mean();
      policy_loss_sum += policy_loss.item<double>();
      value_loss_sum += value_loss.item<double>();
      ++minibatches;
      if (epoch + 1 == options_.epochs()) {
        torch::NoGradGuard no_grad;
        kl_sum += (ratio - 1 - log_ratio).mean().item<double>();
        clipped_sum +=
            ((ratio - 1).abs() > options_.clip()).to(torch::kFloat32).mean().item<double>();
        ++last_minibatches;
      }
      if (options_.entropy_bonus() > 0) {
        policy_loss = policy_loss - options_.entropy_bonus() * log_std.sum();
      }
      policy_.ClearGradients();
      value_.ClearGradients();
      (policy_loss + value_loss).backward();
      // each network by itself
      policy_.ClipGradients(options_.max_gradient_norm());
      value_.ClipGradients(options_.max_gradient_norm());
      policy_.Step(annealed.learning_rate);
      value_.Step(annealed.learning_rate);
      torch::NoGradGuard no_grad;
      log_std.detach().clamp_min_(annealed.min_log_std);
    }
  }
  Statistics& s = *statistics;
  s["loss"] = policy_loss_sum / static_cast<double>(minibatches);
  s["value_loss"] = value_loss_sum / static_cast<double>(minibatches);
  // in the last epoch: an estimate of KL(old ‖ new), and the share of clipped ratios
  s["kl"] = kl_sum / static_cast<double>(last_minibatches);
  s["clipped"] = clipped_sum / static_cast<double>(last_minibatches);
  // after the update: the mean over actions, and a Gaussian's entropy in nats
  s["log_std"] = log_std.mean().item<double>();
  s["entropy"] = sizes_.action * (0.5 * std::log(2 * M_PI * M_E) + s["log_std"]);
}

nn::Snapshot Ppo::Policy() const {
  nn::Snapshot snapshot;
  const int o = sizes_.observation;
  for (size_t i = 0; i < layers_; ++i) {
    const std::string name = absl::StrCat("layer", i);
    snapshot.tensors[name + ".weight"] = FromTorch(policy_[2 * i]);
    snapshot.tensors[name + ".bias"] = FromTorch(policy_[2 * i + 1]);
  }
  snapshot.tensors["log_std"] = FromTorch(policy_[2 * layers_]);
  snapshot.tensors["observation_mean"] = {{o}, normalizer_.Mean()};
  snapshot.tensors["observation_std"] = {{o}, normalizer_.StandardDeviation()};
  snapshot.metadata["kind"] = "policy";
  snapshot.metadata["layers"] = absl::StrJoin(LayerSizes(options_, o, sizes_.action), ",");
  snapshot.metadata["activation"] = "tanh";
  snapshot.SetNumbers("observation_clip", {kObservationClip});
  snapshot.SetNumbers("action_clip", {kActionClip});
  snapshot.SetNumbers("noise_correlation", {noise_correlation_});
  return snapshot;
}

// With the policy's parameters, exploration and observation normaliser (which weighs as
// `steps` steps), and a fresh value function.
absl::Status Ppo::BeginFrom(const nn::Snapshot& policy, int64_t steps) {
  const int o = sizes_.observation;
  ASSIGN_OR_RETURN(const nn::Tensor* mean, policy.Find("observation_mean", {o}));
  ASSIGN_OR_RETURN(const nn::Tensor* deviation, policy.Find("observation_std", {o}));
  // a state without moments
  nn::Snapshot state;
  policy_.Save("policy.", &state);
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
    RETURN_IF_ERROR(policy_.Load("policy.", state));
    normalizer_.Restore(mean->values, deviation->values, std::max<int64_t>(2, steps));
    return absl::OkStatus();
  });
}

nn::Snapshot Ppo::SaveState() const {
  nn::Snapshot state;
  policy_.Save("policy.", &state);
  value_.Save("value.", &state);
  normalizer_.Save("normalizer", &state);
  state.metadata["kind"] = "ppo_state";
  state.metadata["updates"] = absl::StrCat(updates_);
  return state;
}

absl::Status Ppo::LoadState(const nn::Snapshot& state) {
  ASSIGN_OR_RETURN(const int64_t updates, state.Integer("updates"));
  return Guard("PPO state", [&]() -> absl::Status {
    RETURN_IF_ERROR(policy_.Load("policy.", state));
    RETURN_IF_ERROR(value_.Load("value.", state));
    RETURN_IF_ERROR(normalizer_.Load("normalizer", state));
    updates_ = updates;
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Algorithm>> MakePpo(const v1::RunSpec& spec, Sizes sizes) {
  std::unique_ptr<Algorithm> ppo;
  RETURN_IF_ERROR(Guard("PPO", [&] {
    ppo = std::make_unique<Ppo>(spec, sizes);
    return absl::OkStatus();
  }));
  return ppo;
}

}  // namespace backflip::learn
