#include "common/learn/reward/ensemble.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/learn/parameters.h"
#include "common/learn/random.h"
#include "common/learn/reward/networks.h"

namespace backflip::learn {
namespace {

using experience::Clip;
using experience::ClipPointer;
using experience::Comparison;

// Validation looks at this many held-out labels of each member at most: more
// would cost as much as training.
constexpr int64_t kValidationLabels = 96;

// Reliabilities look at this many of the newest held-out labels of each member.
constexpr size_t kReliabilityLabels = 2048;
// Updates of new networks before the first look at reliabilities, and between
// looks within a round.
constexpr int kReliabilityWarmUp = 50;
constexpr int kReliabilityEvery = 25;

// A round changes a member's weight decay by a factor of 1 ± the step, so that the ratio
// of validation loss to training loss comes between the bounds.
constexpr double kWeightDecayStep = 0.05;
constexpr double kWeightDecayMin = 1e-7;
constexpr double kWeightDecayMax = 1.0;
constexpr double kValidationRatioMin = 1.1;
constexpr double kValidationRatioMax = 1.5;

// The Poisson(1) variable at quantile `draw`: 0 up to 1/e.
int Poisson1(double draw) {
  int count = 0;
  double probability = std::exp(-1.0);
  double below = probability;
  while (draw >= below && count < 20) {
    probability /= ++count;
    below += probability;
  }
  return count;
}

}  // namespace

struct RewardEnsemble::Impl {
  Impl(const v1::RewardModel& model, bool learn_reliability, uint64_t seed, int o, int a)
      : model(model),
        learn_reliability(learn_reliability),
        seed(seed),
        members(model.members()),
        networks(model, seed, o, a),
        decay(members, model.weight_decay()),
        taken(members),
        held_out(members) {}

  // The rewarded steps of clips, one after the other.
  absl::StatusOr<Steps> StepsOf(const std::vector<ClipPointer>& clips) const;
  absl::Status AddLabel(const Comparison& label);
  absl::StatusOr<RewardTrainingStats> Train(int updates);

  // Differences of returns [members, n] of labels `rows` [members × n].
  torch::Tensor Differences(const std::vector<int64_t>& rows) const;
  // Losses [members, n] of each label; weights of single labels belong here.
  torch::Tensor Losses(const torch::Tensor& differences, const std::vector<int64_t>& rows) const;
  // The minibatch of this round's update, and a step on it: losses [members].
  torch::Tensor Update(int update);
  // Losses and accuracy on held-out labels, and a step of every member's weight decay.
  // `training`: the members' training losses.
  void Validate(const std::vector<double>& training, RewardTrainingStats* stats);

  bool LearnsReliability() const { return learn_reliability && reliabilities.labelers() >= 2; }
  void UpdateReliabilities();

  const v1::RewardModel model;
  const bool learn_reliability;
  const uint64_t seed;
  const int members;
  RewardNetworks networks;
  std::vector<double> decay;
  ReliabilityTable reliabilities;
  int64_t rounds = 0;

  // Labels in the order in which they came, raw inputs [capacity, 2, k, o + a].
  torch::Tensor clips;
  int64_t clip_steps = 0;
  std::vector<float> left_preferred;
  std::vector<int> labelers;
  // Per member: rows it trains on, as often as it took them, and the others.
  std::vector<std::vector<int64_t>> taken, held_out;
};

absl::StatusOr<Steps> RewardEnsemble::Impl::StepsOf(const std::vector<ClipPointer>& clips) const {
  Steps steps;
  for (const ClipPointer& clip : clips) {
    const size_t observations = static_cast<size_t>(clip->steps) * networks.observation_size();
    const size_t actions = static_cast<size_t>(clip->steps) * networks.action_size();
    if (clip->steps < 1 ||
        clip->observations.size() != observations + networks.observation_size() ||
        clip->actions.size() != actions) {
      return absl::InvalidArgumentError(absl::StrCat(
          "reward ensemble: a clip of ", clip->steps, " steps has ", clip->observations.size(),
          " observation and ", clip->actions.size(), " action values"));
    }
    const auto begin = clip->observations.begin();
    steps.observations.insert(steps.observations.end(), begin, begin + observations);
    steps.actions.insert(steps.actions.end(), clip->actions.begin(), clip->actions.end());
  }
  RETURN_IF_ERROR(networks.Check(steps));
  return steps;
}

torch::Tensor RewardEnsemble::Impl::Differences(const std::vector<int64_t>& rows) const {
  const int64_t n = static_cast<int64_t>(rows.size()) / members;
  const torch::Tensor index = torch::tensor(rows, torch::kInt64);
  const torch::Tensor x = networks.Inputs(clips.index_select(0, index))
                              .view({members, n * 2 * clip_steps, clips.size(-1)});
  const torch::Tensor returns = networks.Forward(x).view({members, n, 2, clip_steps}).sum(-1);
  return returns.select(2, 0) - returns.select(2, 1);
}

torch::Tensor RewardEnsemble::Impl::Losses(const torch::Tensor& differences,
                                           const std::vector<int64_t>& rows) const {
  std::vector<float> targets;
  targets.reserve(rows.size());
  for (const int64_t row : rows) targets.push_back(left_preferred[row]);
  const torch::Tensor target = ToTorch(targets, differences.sizes().vec());
  const double noise = model.uniform_answers();
  torch::Tensor left = torch::sigmoid(differences) * (1 - noise) + noise / 2;
  if (!reliabilities.estimates().empty()) {
    const std::map<int, double> relative = reliabilities.Relative();
    std::vector<float> of_rows;
    of_rows.reserve(rows.size());
    for (const int64_t row : rows) {
      of_rows.push_back(static_cast<float>(relative.at(labelers[row])));
    }
    const torch::Tensor eta = ToTorch(of_rows, differences.sizes().vec());
    left = eta * left + (1 - eta) * (1 - left);
  }
  // the logarithm stays finite when no answer is random
  left = left.clamp(1e-7, 1 - 1e-7);
  return -(target * left.log() + (1 - target) * (1 - left).log());
}

absl::Status RewardEnsemble::Impl::AddLabel(const Comparison& label) {
  if (label.left->steps != label.right->steps ||
      (clip_steps != 0 && label.left->steps != clip_steps)) {
    return absl::InvalidArgumentError(
        absl::StrCat("reward ensemble: label ", label.ordinal,
                     " has clips of another length than the labels before it"));
  }
  if (!(label.left_preferred >= 0 && label.left_preferred <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("reward ensemble: label ", label.ordinal,
                                                   " prefers left by a share outside [0, 1]"));
  }
  ASSIGN_OR_RETURN(const Steps steps, StepsOf({label.left, label.right}));
  const torch::Tensor raw = networks.Raw(steps).view({2, label.left->steps, -1});
  clip_steps = label.left->steps;
  const int64_t row = static_cast<int64_t>(left_preferred.size());
  const int64_t capacity = clips.defined() ? clips.size(0) : 0;
  if (row == capacity) {
    const torch::Tensor more =
        torch::zeros({std::max<int64_t>(256, capacity), 2, clip_steps, raw.size(-1)});
    clips = clips.defined() ? torch::cat({clips, more}) : more;
  }
  clips[row].copy_(raw);
  left_preferred.push_back(label.left_preferred);
  labelers.push_back(label.labeler);
  reliabilities.AddLabel(label.labeler);
  for (int m = 0; m < members; ++m) {
    const double draw = KeyedRandom(seed, base::Draw::kBootstrap, label.ordinal, m).Uniform();
    if (draw < model.held_out()) {
      held_out[m].push_back(row);
    } else {
      taken[m].insert(taken[m].end(), Poisson1(draw), row);
    }
  }
  return absl::OkStatus();
}

void RewardEnsemble::Impl::UpdateReliabilities() {
  torch::NoGradGuard no_grad;
  // members hold different numbers out: the shorter lists are filled up by
  // repeating, and what is repeated is not looked at
  size_t most = 0;
  for (const std::vector<int64_t>& rows : held_out) {
    if (rows.empty()) return;
    most = std::max(most, std::min(rows.size(), kReliabilityLabels));
  }
  std::vector<int64_t> rows;
  rows.reserve(members * most);
  for (const std::vector<int64_t>& all : held_out) {
    for (size_t i = 0; i < most; ++i) rows.push_back(all[all.size() - 1 - i % all.size()]);
  }
  const torch::Tensor differences = Differences(rows).contiguous();
  const double noise = model.uniform_answers();
  std::map<int64_t, std::pair<double, int>> answered;  // by row: sum over members, members
  for (int m = 0; m < members; ++m) {
    for (size_t i = 0; i < std::min(most, held_out[m].size()); ++i) {
      const size_t at = m * most + i;
      const float target = left_preferred[rows[at]];
      if (target == 0.5f) continue;
      const double difference = differences.data_ptr<float>()[at];
      const double p =
          (1 - noise) / (1 + std::exp(target > 0.5f ? -difference : difference)) + noise / 2;
      auto& [sum, count] = answered[rows[at]];
      sum += p;
      ++count;
    }
  }
  std::map<int, std::vector<double>> answers;  // by labeler
  for (const auto& [row, p] : answered) answers[labelers[row]].push_back(p.first / p.second);
  reliabilities.Update(answers);
}

torch::Tensor RewardEnsemble::Impl::Update(int update) {
  std::vector<int64_t> rows;
  rows.reserve(members * model.minibatch_labels());
  for (int m = 0; m < members; ++m) {
    KeyedRandom random(seed, base::Draw::kEnsembleMinibatch,
                       static_cast<uint64_t>(rounds) << 20 | update, m);
    for (int i = 0; i < model.minibatch_labels(); ++i) {
      rows.push_back(taken[m][random.Below(static_cast<int64_t>(taken[m].size()))]);
    }
  }
  const torch::Tensor losses = Losses(Differences(rows), rows).mean(1);
  networks.Descend(losses, decay, model.learning_rate());
  return losses.detach();
}

void RewardEnsemble::Impl::Validate(const std::vector<double>& training,
                                    RewardTrainingStats* stats) {
  int64_t labels = kValidationLabels;
  for (const std::vector<int64_t>& rows : held_out) {
    labels = std::min<int64_t>(labels, static_cast<int64_t>(rows.size()));
  }
  if (labels == 0) return;
  torch::NoGradGuard no_grad;
  KeyedRandom random(seed, base::Draw::kHeldOut, rounds);
  std::vector<int64_t> rows;
  for (int m = 0; m < members; ++m) {
    // every label at most once: a random part of a shuffled copy
    std::vector<int64_t> all = held_out[m];
    for (int64_t i = 0; i < labels; ++i) {
      std::swap(all[i], all[i + random.Below(static_cast<int64_t>(all.size()) - i)]);
      rows.push_back(all[i]);
    }
  }
  const torch::Tensor differences = Differences(rows).contiguous();
  const torch::Tensor losses = Losses(differences, rows).mean(1).contiguous();
  const double step = model.adapt_weight_decay() ? kWeightDecayStep : 0;
  for (int m = 0; m < members; ++m) {
    const double validation = losses.data_ptr<float>()[m];
    stats->validation_loss += validation / members;
    if (validation > kValidationRatioMax * training[m]) {
      decay[m] *= 1 + step;
    } else if (validation < kValidationRatioMin * training[m]) {
      decay[m] *= 1 - step;
    }
    decay[m] = std::clamp(decay[m], kWeightDecayMin, kWeightDecayMax);
  }
  double right = 0, decisive = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const float target = left_preferred[rows[i]];
    if (target == 0.5f) continue;
    ++decisive;
    right += (differences.data_ptr<float>()[i] > 0) == (target > 0.5f);
  }
  if (decisive > 0) stats->accuracy = right / decisive;
}

absl::StatusOr<RewardTrainingStats> RewardEnsemble::Impl::Train(int updates) {
  for (const std::vector<int64_t>& rows : taken) {
    if (rows.empty()) {
      return absl::FailedPreconditionError(
          "reward ensemble: too few labels: a member has none to train on");
    }
  }
  RewardTrainingStats stats;
  stats.labels = static_cast<int64_t>(left_preferred.size());
  std::vector<double> training(members, 0.0);
  if (LearnsReliability()) reliabilities.Begin();
  for (int update = 0; update < updates; ++update) {
    if (LearnsReliability() && rounds == 0 && update >= kReliabilityWarmUp &&
        update % kReliabilityEvery == 0) {
      UpdateReliabilities();
    }
    const torch::Tensor losses = Update(update);
    for (int m = 0; m < members; ++m) training[m] += losses.data_ptr<float>()[m] / updates;
  }
  if (LearnsReliability() && (rounds > 0 || updates >= kReliabilityWarmUp)) {
    UpdateReliabilities();
  }
  for (const double loss : training) stats.training_loss += loss / members;
  Validate(training, &stats);
  double log_decay = 0;
  for (const double value : decay) log_decay += std::log(std::max(value, 1e-12));
  stats.weight_decay = std::exp(log_decay / members);
  ++rounds;
  return stats;
}

RewardEnsemble::RewardEnsemble(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RewardEnsemble::~RewardEnsemble() = default;

absl::StatusOr<std::unique_ptr<RewardEnsemble>> RewardEnsemble::Create(const v1::RewardModel& model,
                                                                       bool learn_reliability,
                                                                       uint64_t seed,
                                                                       int observation_size,
                                                                       int action_size) {
  if (observation_size < 1 || action_size < 0) {
    return absl::InvalidArgumentError(
        "reward ensemble: observation and action sizes must be positive");
  }
  if (model.members() < 1 || model.minibatch_labels() < 1 || !(model.learning_rate() > 0)) {
    return absl::InvalidArgumentError(
        "reward ensemble: members, minibatch_labels and learning_rate must be set");
  }
  std::unique_ptr<RewardEnsemble> ensemble;
  RETURN_IF_ERROR(Guard("reward ensemble", [&] {
    ensemble.reset(new RewardEnsemble(
        std::make_unique<Impl>(model, learn_reliability, seed, observation_size, action_size)));
    return absl::OkStatus();
  }));
  return ensemble;
}

int RewardEnsemble::members() const { return impl_->members; }

int64_t RewardEnsemble::labels() const {
  return static_cast<int64_t>(impl_->left_preferred.size());
}

absl::Status RewardEnsemble::AddLabel(const Comparison& label) {
  return Guard("reward ensemble", [&] { return impl_->AddLabel(label); });
}

void RewardEnsemble::SetGold(int labeler, int64_t right, int64_t wrong) {
  impl_->reliabilities.SetGold(labeler, right, wrong);
}

std::vector<Reliability> RewardEnsemble::Reliabilities() const {
  std::vector<Reliability> all;
  for (const auto& [labeler, estimate] : impl_->reliabilities.estimates()) all.push_back(estimate);
  return all;
}

absl::StatusOr<RewardTrainingStats> RewardEnsemble::Train(int updates) {
  absl::StatusOr<RewardTrainingStats> stats;
  RETURN_IF_ERROR(Guard("reward training", [&] {
    stats = impl_->Train(updates);
    return stats.status();
  }));
  return stats;
}

absl::Status RewardEnsemble::AddCandidates(const std::vector<ClipPointer>& clips) {
  for (const ClipPointer& clip : clips) {
    ASSIGN_OR_RETURN(const Steps steps, impl_->StepsOf({clip}));
    impl_->networks.AddObservations(steps.observations);
  }
  return absl::OkStatus();
}

absl::Status RewardEnsemble::NormalizeMembers(const std::vector<ClipPointer>& clips) {
  ASSIGN_OR_RETURN(const Steps steps, impl_->StepsOf(clips));
  return Guard("reward ensemble", [&] {
    impl_->networks.NormalizeMembers(steps);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<float>> RewardEnsemble::Score(const std::vector<float>& observations,
                                                         const std::vector<float>& actions) const {
  const Steps steps{observations, actions};
  RETURN_IF_ERROR(impl_->networks.Check(steps));
  std::vector<float> rewards;
  RETURN_IF_ERROR(Guard("reward ensemble", [&] {
    rewards = impl_->networks.Score(steps);
    return absl::OkStatus();
  }));
  return rewards;
}

absl::StatusOr<std::vector<std::vector<double>>> RewardEnsemble::ClipReturns(
    const std::vector<ClipPointer>& clips) const {
  std::vector<std::vector<double>> returns;
  if (clips.empty()) return returns;
  for (const ClipPointer& clip : clips) {
    if (clip->steps != clips[0]->steps) {
      return absl::InvalidArgumentError("reward ensemble: clips of different lengths");
    }
  }
  ASSIGN_OR_RETURN(const Steps steps, impl_->StepsOf(clips));
  RETURN_IF_ERROR(Guard("reward ensemble", [&] {
    const int64_t n = static_cast<int64_t>(clips.size());
    const torch::Tensor sums =
        impl_->networks.Rewards(steps).view({members(), n, -1}).sum(-1).contiguous();
    for (int64_t i = 0; i < n; ++i) {
      std::vector<double>& of_clip = returns.emplace_back();
      for (int m = 0; m < members(); ++m) of_clip.push_back(sums.data_ptr<float>()[m * n + i]);
    }
    return absl::OkStatus();
  }));
  return returns;
}

nn::Snapshot RewardEnsemble::ToSnapshot() const { return impl_->networks.ToSnapshot(); }

nn::Snapshot RewardEnsemble::SaveState() const {
  nn::Snapshot state;
  impl_->networks.Save(&state);
  impl_->reliabilities.Save(&state);
  state.SetNumbers("weight_decay", impl_->decay);
  state.metadata["kind"] = "reward_state";
  state.metadata["rounds"] = absl::StrCat(impl_->rounds);
  return state;
}

absl::Status RewardEnsemble::LoadState(const nn::Snapshot& state) {
  ASSIGN_OR_RETURN(const int64_t rounds, state.Integer("rounds"));
  ASSIGN_OR_RETURN(const std::vector<double> decay, state.Numbers("weight_decay"));
  if (decay.size() != impl_->decay.size()) {
    return absl::InvalidArgumentError(
        "the reward state has another number of weight decays than members");
  }
  return Guard("reward state", [&]() -> absl::Status {
    RETURN_IF_ERROR(impl_->networks.Load(state));
    RETURN_IF_ERROR(impl_->reliabilities.Load(state));
    impl_->rounds = rounds;
    impl_->decay = decay;
    return absl::OkStatus();
  });
}

}  // namespace backflip::learn
