#include "common/learn/on_policy/on_policy.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/learn/on_policy/gae.h"
#include "common/learn/random.h"

namespace backflip::learn {
namespace {

using experience::Batch;
using experience::Trajectory;

constexpr double kLogSqrtTwoPi = 0.9189385332046727;
// Bounds on normalised observations, and on actions before they act.
constexpr double kObservationClip = 5;
constexpr double kActionClip = 1;
// Updates of the value function alone after BeginFrom.
constexpr int64_t kValueUpdates = 3;

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

double Between(double first, double last, double progress) {
  return first + progress * (last - first);
}

}  // namespace

// What one update learns from, in its order: the newest batch, then earlier ones.
struct OnPolicy::Experience {
  int64_t steps() const { return static_cast<int64_t>(rewards.size()); }

  std::vector<float> observations;  // [steps, o]
  std::vector<float> actions;       // [steps, a]
  std::vector<float> log_probs;     // [steps], of the policy that acted
  std::vector<float> rewards;       // [steps]
  std::vector<experience::Piece> pieces;
  std::vector<float> next_observations;  // [pieces, o]: what follows each piece
};

Rows Rows::Select(const torch::Tensor& rows) const {
  return {observations.index_select(0, rows), actions.index_select(0, rows),
          log_probs.index_select(0, rows), advantages.index_select(0, rows),
          returns.index_select(0, rows)};
}

// A deviation above 1 explores no more, since actions are bounded by ± 1: it would only grow for
// ever under an entropy bonus.
Annealed::Annealed(const v1::Ppo& options, double progress)
    : learning_rate(Between(options.learning_rate(),
                            options.learning_rate() * options.final_learning_rate_share(),
                            progress)),
      min_log_std(Between(options.min_log_std(), options.final_min_log_std(), progress)),
      max_log_std(std::max({0.0, options.initial_log_std(), min_log_std})) {}

OnPolicy::OnPolicy(const char* name, const v1::RunSpec& spec, Sizes sizes)
    : options_(spec.ppo()),
      sizes_(sizes),
      seed_(base::SeedOf(spec.seed(), base::Draw::kPpo)),
      layers_(options_.hidden_size() + 1),
      generator_(Generator(0)),
      policy_(PolicyNetwork(options_, sizes, generator_)),
      value_(Network(LayerSizes(options_, sizes.observation, 1), /*last_gain=*/1.0, generator_)),
      name_(name),
      noise_seconds_(spec.collection().noise_seconds()),
      normalizer_(sizes.observation) {}

at::Generator OnPolicy::Generator(uint64_t update) const {
  return at::detail::createCPUGenerator(KeyedRandom(seed_, base::Draw::kPpoUpdate, update).Next());
}

absl::Status OnPolicy::CheckTrajectory(const Trajectory& t) const {
  const size_t steps = t.steps, ends = t.episode_ends.size();
  const size_t o = sizes_.observation, a = sizes_.action;
  if (t.steps < 1 || t.observations.size() != steps * o || t.actions.size() != steps * a ||
      t.log_probs.size() != steps || t.end_observations.size() != ends * o ||
      t.last_observation.size() != o) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": a trajectory of ", t.steps, " steps must have observations of ", o,
                     " numbers, actions of ", a, ", and a log-probability for each"));
  }
  int32_t previous = -1;
  for (const experience::EpisodeEnd& end : t.episode_ends) {
    if (end.step <= previous || end.step >= t.steps) {
      return absl::InvalidArgumentError(
          absl::StrCat(name_, ": episodes of a trajectory end out of order"));
    }
    previous = end.step;
  }
  for (const std::vector<float>* values :
       {&t.observations, &t.actions, &t.log_probs, &t.end_observations, &t.last_observation}) {
    if (!AreFinite(*values)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name_, ": a trajectory holds a value that is not finite"));
    }
  }
  return absl::OkStatus();
}

absl::Status OnPolicy::Observe(Batch batch) {
  if (batch.trajectories.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": an empty batch"));
  }
  for (const Trajectory& trajectory : batch.trajectories) {
    RETURN_IF_ERROR(CheckTrajectory(trajectory));
  }
  const bool first = normalizer_.count() == 0;
  if (first) Normalize(batch);
  batches_.push_back(std::move(batch));
  if (!first) ++fresh_;
  if (batches_.size() > static_cast<size_t>(options_.reused_batches()) + 1) batches_.pop_front();
  fresh_ = std::min(fresh_, batches_.size());
  return absl::OkStatus();
}

void OnPolicy::Normalize(const Batch& batch) {
  for (const Trajectory& t : batch.trajectories) normalizer_.Add(t.observations.data(), t.steps);
}

// The networks stay the functions that they are when the normaliser takes fresh batches in: what
// is published after an update is then what was trained.
void OnPolicy::TakeIn() {
  const std::vector<float> mean = normalizer_.Mean();
  const std::vector<float> deviation = normalizer_.StandardDeviation();
  for (; fresh_ > 0; --fresh_) Normalize(batches_[batches_.size() - fresh_]);
  MoveInputs(mean, deviation);
}

// From inputs that were normalised by `mean` and `deviation` to the normaliser's:
//   (o − m) / s = x s' / s + (m' − m) / s, where x = (o − m') / s'.
// Exact but for the bound on x.
void OnPolicy::MoveInputs(const std::vector<float>& mean, const std::vector<float>& deviation) {
  torch::NoGradGuard no_grad;
  const std::vector<int64_t> shape = {sizes_.observation};
  const torch::Tensor old_deviation = ToTorch(deviation, shape);
  const torch::Tensor shift =
      (ToTorch(normalizer_.Mean(), shape) - ToTorch(mean, shape)) / old_deviation;
  const torch::Tensor scale = ToTorch(normalizer_.StandardDeviation(), shape) / old_deviation;
  for (Parameters* network : {&policy_, &value_}) {
    (*network)[1].detach().add_(torch::matmul(shift, (*network)[0]));
    (*network)[0].detach().mul_(scale.unsqueeze(1));
  }
}

absl::StatusOr<OnPolicy::Experience> OnPolicy::Rewarded(const Rewarder& rewarder) const {
  if (batches_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": nothing was observed yet"));
  }
  Experience all;
  const auto add = [&](const Batch& batch) -> absl::Status {
    for (const Trajectory& trajectory : batch.trajectories) {
      const std::vector<float> rewards = rewarder.Score(trajectory);
      if (static_cast<int32_t>(rewards.size()) != trajectory.steps || !AreFinite(rewards)) {
        return absl::InvalidArgumentError(
            absl::StrCat(name_, ": reward ", rewarder.version(), " gives ", rewards.size(),
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

torch::Tensor OnPolicy::Normalized(const std::vector<float>& observations) const {
  const int o = sizes_.observation;
  const torch::Tensor rows =
      ToTorch(observations, {static_cast<int64_t>(observations.size()) / o, o});
  const torch::Tensor mean = ToTorch(normalizer_.Mean(), {o});
  const torch::Tensor deviation = ToTorch(normalizer_.StandardDeviation(), {o});
  return ((rows - mean) / deviation).clamp_(-kObservationClip, kObservationClip);
}

torch::Tensor OnPolicy::Means(const torch::Tensor& observations) const {
  return Forward(policy_, layers_, observations);
}

torch::Tensor OnPolicy::LogProbs(const Rows& rows) const {
  const torch::Tensor distance = (rows.actions - Means(rows.observations)) * torch::exp(-log_std());
  return distance.square().sum(1) * -0.5 - (log_std().sum() + kLogSqrtTwoPi * sizes_.action);
}

absl::StatusOr<Statistics> OnPolicy::Improve(const Rewarder& rewarder, double progress) {
  Statistics statistics;
  RETURN_IF_ERROR(Guard(name_.c_str(), [&]() -> absl::Status {
    ASSIGN_OR_RETURN(Experience experience, Rewarded(rewarder));
    progress_ = std::max(progress_, progress);
    TakeIn();
    statistics["reward_mean"] = NormalizeRewards(options_, &experience.rewards);
    const Rows rows = Estimate(experience, &statistics);
    generator_ = Generator(updates_ + 1);
    policy_descents_ = value_descents_ = {};
    statistics["kl"] = 0;
    const Annealed annealed(options_, progress_);
    if (value_updates_ > 0) {
      --value_updates_;
      FitValuesAlone(rows, annealed, &statistics);
    } else {
      Update(rows, annealed, &statistics);
    }
    if (policy_descents_.none() || value_descents_.none() ||
        !std::isfinite(statistics["explained_variance"]) ||
        !torch::isfinite(policy_.values()).all().item<bool>()) {
      return absl::FailedPreconditionError(absl::StrCat(
          name_, ": update ", updates_ + 1, " came to numbers that are not finite: lower",
          " ppo.learning_rate (", options_.learning_rate(), "), ppo.max_gradient_norm (",
          options_.max_gradient_norm(), ") or ppo.reward_scale (", options_.reward_scale(), ")"));
    }
    ++updates_;
    return absl::OkStatus();
  }));
  statistics["skipped_steps"] =
      static_cast<double>(policy_descents_.skipped + value_descents_.skipped);
  // after the update: the mean over actions, and a Gaussian's entropy in nats
  const double log_std_mean = log_std().mean().item<double>();
  statistics["log_std"] = log_std_mean;
  statistics["entropy"] = sizes_.action * (0.5 * std::log(2 * M_PI * M_E) + log_std_mean);
  return statistics;
}

Rows OnPolicy::Estimate(const Experience& experience, Statistics* statistics) const {
  torch::NoGradGuard no_grad;
  const int64_t steps = experience.steps();
  Rows rows;
  rows.observations = Normalized(experience.observations);
  rows.actions = ToTorch(experience.actions, {steps, sizes_.action});
  rows.log_probs = LogProbs(rows);
  const auto values = [&](const torch::Tensor& x) {
    return FromTorch(Forward(value_, layers_, x).squeeze(1)).values;
  };
  const AdvantageEstimates estimates = EstimateAdvantages(
      experience.rewards, values(rows.observations), experience.pieces,
      values(Normalized(experience.next_observations)), options_.discount(), options_.gae_lambda());
  rows.returns = ToTorch(estimates.returns, {steps});
  const torch::Tensor advantages = ToTorch(estimates.advantages, {steps});
  rows.advantages = (advantages - advantages.mean()) / (advantages.std(/*unbiased=*/false) + 1e-8);
  int64_t newest = 0;
  for (const Trajectory& t : batches_.back().trajectories) newest += t.steps;
  if (newest < steps) {
    const torch::Tensor acted = ToTorch(experience.log_probs, {steps});
    rows.advantages.slice(0, newest).mul_(
        (rows.log_probs - acted).clamp_max(0).exp().slice(0, newest));
  }
  // of the returns, by the values before the update
  (*statistics)["explained_variance"] =
      1 - advantages.var(false).item<double>() /
              std::max(1e-12, rows.returns.var(false).item<double>());
  return rows;
}

void OnPolicy::Epoch(const Rows& all, const std::function<void(const Rows&)>& step) {
  const int64_t steps = all.observations.size(0), minibatch = options_.minibatch_steps();
  const torch::Tensor order =
      torch::randperm(steps, generator_, torch::TensorOptions(torch::kInt64));
  for (int64_t first = 0; first < steps; first += minibatch) {
    const int64_t size = std::min(minibatch, steps - first);
    // a shorter rest would weigh its steps more
    if (size < minibatch && first > 0) break;
    step(all.Select(order.narrow(0, first, size)));
  }
}

double OnPolicy::Descend(const torch::Tensor& loss, double learning_rate, Parameters* network) {
  Descents& descents = network == &policy_ ? policy_descents_ : value_descents_;
  ++descents.tried;
  const double value = loss.item<double>();
  network->ClearGradients();
  if (std::isfinite(value)) loss.backward();
  if (!std::isfinite(value) || !network->ClipGradients(options_.max_gradient_norm())) {
    ++descents.skipped;
    return 0;
  }
  network->Step(learning_rate);
  return value;
}

double OnPolicy::FitValues(const Rows& rows, double learning_rate) {
  const torch::Tensor values = Forward(value_, layers_, rows.observations).squeeze(1);
  return Descend((values - rows.returns).square().mean(), learning_rate, &value_);
}

void OnPolicy::FitValuesAlone(const Rows& all, const Annealed& annealed, Statistics* statistics) {
  double sum = 0;
  int64_t steps = 0;
  for (int epoch = 0; epoch < options_.epochs(); ++epoch) {
    Epoch(all, [&](const Rows& rows) {
      sum += FitValues(rows, annealed.learning_rate);
      ++steps;
    });
  }
  (*statistics)["value_loss"] = sum / static_cast<double>(steps);
}

void OnPolicy::BoundDeviation(const Annealed& annealed) {
  torch::NoGradGuard no_grad;
  log_std().detach().clamp_(annealed.min_log_std, annealed.max_log_std);
}

double OnPolicy::NoiseCorrelation() const {
  const double seconds = noise_seconds_ * (1 - progress_);
  return seconds > 0 ? std::exp(-sizes_.step_seconds / seconds) : 0;
}

nn::Snapshot OnPolicy::Policy() const {
  nn::Snapshot snapshot;
  const int o = sizes_.observation;
  for (size_t i = 0; i < layers_; ++i) {
    const std::string name = absl::StrCat("layer", i);
    snapshot.tensors[name + ".weight"] = FromTorch(policy_[2 * i]);
    snapshot.tensors[name + ".bias"] = FromTorch(policy_[2 * i + 1]);
  }
  snapshot.tensors["log_std"] = FromTorch(log_std());
  snapshot.tensors["observation_mean"] = {{o}, normalizer_.Mean()};
  snapshot.tensors["observation_std"] = {{o}, normalizer_.StandardDeviation()};
  snapshot.metadata["kind"] = "policy";
  snapshot.metadata["layers"] = absl::StrJoin(LayerSizes(options_, o, sizes_.action), ",");
  snapshot.metadata["activation"] = "tanh";
  snapshot.SetNumbers("observation_clip", {kObservationClip});
  snapshot.SetNumbers("action_clip", {kActionClip});
  snapshot.SetNumbers("noise_correlation", {NoiseCorrelation()});
  return snapshot;
}

// With the policy's parameters, exploration and observation normaliser (which weighs as
// `steps` steps), and a fresh value function.
absl::Status OnPolicy::BeginFrom(const nn::Snapshot& policy, int64_t steps) {
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
  return Guard(name_.c_str(), [&]() -> absl::Status {
    RETURN_IF_ERROR(policy_.Load("policy.", state));
    normalizer_.Restore(mean->values, deviation->values, std::max<int64_t>(2, steps));
    MoveInputs(mean->values, deviation->values);  // older policies had smaller deviations
    value_updates_ = kValueUpdates;
    return absl::OkStatus();
  });
}

nn::Snapshot OnPolicy::SaveState() const {
  nn::Snapshot state;
  policy_.Save("policy.", &state);
  value_.Save("value.", &state);
  normalizer_.Save("normalizer", &state);
  state.metadata["kind"] = "on_policy_state";
  state.metadata["updates"] = absl::StrCat(updates_);
  state.metadata["value_updates"] = absl::StrCat(value_updates_);
  state.SetNumbers("progress", {progress_});
  return state;
}

absl::Status OnPolicy::LoadState(const nn::Snapshot& state) {
  ASSIGN_OR_RETURN(const int64_t updates, state.Integer("updates"));
  int64_t value_updates = 0;
  double progress = 0;
  if (state.metadata.count("progress") > 0) {  // not in the first versions' states
    ASSIGN_OR_RETURN(value_updates, state.Integer("value_updates"));
    ASSIGN_OR_RETURN(progress, state.Number("progress"));
  }
  return Guard(name_.c_str(), [&]() -> absl::Status {
    RETURN_IF_ERROR(policy_.Load("policy.", state));
    RETURN_IF_ERROR(value_.Load("value.", state));
    RETURN_IF_ERROR(normalizer_.Load("normalizer", state));
    updates_ = updates;
    value_updates_ = value_updates;
    progress_ = progress;
    return absl::OkStatus();
  });
}

}  // namespace backflip::learn
