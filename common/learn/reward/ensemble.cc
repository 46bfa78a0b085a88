#include "common/learn/reward/ensemble.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/learn/parameters.h"
#include "common/learn/random.h"
#include "common/learn/reward/bootstrap.h"
#include "common/learn/reward/networks.h"
#include "common/learn/reward/targets.h"

namespace backflip::learn {
namespace {

using experience::Clip;
using experience::ClipPointer;
using experience::Comparison;

// Losses are compared on this many labels of each member at most: more would cost as much as
// training.
constexpr size_t kComparedLabels = 96;

// Reliabilities look at this many of the newest held-out labels of each member.
constexpr size_t kReliabilityLabels = 2048;
// Updates of new networks before the first look at reliabilities, and between looks.
constexpr int64_t kReliabilityWarmUp = 50;
constexpr int64_t kReliabilityEvery = 25;

// An epoch changes a member's L2 penalty by a factor of 1 ± the step, so that the ratio of
// validation loss to training loss comes between the bounds.
constexpr double kPenaltyStep = 0.05;
constexpr double kPenaltyMin = 1e-7;
constexpr double kPenaltyMax = 1.0;
// As checkpoints have always called it.
constexpr char kPenaltyName[] = "weight_decay";
constexpr double kValidationRatioMin = 1.1;
constexpr double kValidationRatioMax = 1.5;

// Rows of labels for each member.
using RowLists = std::vector<std::vector<int64_t>>;

// Row lists of different lengths as one array [members × n]: shorter ones are filled up with
// row 0, whose `present` is 0 there and 1 elsewhere.
struct PaddedRows {
  explicit PaddedRows(const RowLists& lists) {
    for (const std::vector<int64_t>& list : lists) n = std::max(n, list.size());
    for (const std::vector<int64_t>& list : lists) {
      for (size_t i = 0; i < n; ++i) {
        rows.push_back(i < list.size() ? list[i] : 0);
        present.push_back(i < list.size() ? 1.0f : 0.0f);
      }
    }
  }

  size_t n = 0;
  std::vector<int64_t> rows;
  std::vector<float> present;
};

// The mean of the numbers among them; 0: there are none.
double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  int numbers = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++numbers;
  }
  return numbers == 0 ? 0 : sum / numbers;
}

// How members do on some labels.
struct Judgement {
  std::vector<double> losses;      // [members]; NaN where there was no label
  double right = 0, decisive = 0;  // weights of labels, over members
};

}  // namespace

struct RewardEnsemble::Impl {
  Impl(const v1::RewardModel& model, bool learn_reliability, uint64_t seed, int o, int a)
      : model(model),
        learn_reliability(learn_reliability),
        seed(seed),
        members(model.members()),
        networks(model, seed, o, a),
        bootstrap(seed, members, model.held_out()),
        targets(model),
        penalties(members, model.l2_penalty()) {}

  // The rewarded steps of clips, one after the other.
  absl::StatusOr<Steps> StepsOf(const std::vector<ClipPointer>& clips) const;
  absl::Status AddLabel(const Comparison& label);
  absl::StatusOr<RewardTrainingStats> Train(int64_t wanted);

  // Raw inputs of both clips of labels [rows, 2, k, o + a].
  torch::Tensor Clips(const std::vector<int64_t>& rows) const {
    return clips.index_select(0, torch::tensor(rows, torch::kInt64));
  }
  // Returns [members, n, 2] of parts of clips [members × n, 2, steps, o + a].
  torch::Tensor Returns(const torch::Tensor& parts) const;
  // A step on a minibatch.
  void Update();

  // Up to kComparedLabels of each list, drawn for this moment.
  RowLists Sampled(RowLists lists) const;
  Judgement Judge(const RowLists& lists) const;
  RowLists Taken() const;
  RowLists Unseen() const;
  // A step of every member's L2 penalty.
  void AdaptPenalties();
  int64_t UpdatesPerEpoch() const;

  bool LearnsReliability() const {
    return learn_reliability && targets.are_answers() && reliabilities.labelers() >= 2;
  }
  void UpdateReliabilities();

  const v1::RewardModel model;
  const bool learn_reliability;
  const uint64_t seed;
  const int members;
  RewardNetworks networks;
  Bootstrap bootstrap;
  Targets targets;
  std::vector<double> penalties;
  ReliabilityTable reliabilities;
  int64_t updates = 0;

  // Labels in the order in which they came, raw inputs [capacity, 2, k, o + a].
  torch::Tensor clips;
  int64_t clip_steps = 0;
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

torch::Tensor RewardEnsemble::Impl::Returns(const torch::Tensor& parts) const {
  const int64_t n = parts.size(0) / members, steps = parts.size(2);
  const torch::Tensor x = networks.Inputs(parts).view({members, n * 2 * steps, parts.size(-1)});
  return networks.Forward(x).view({members, n, 2, steps}).sum(-1);
}

absl::Status RewardEnsemble::Impl::AddLabel(const Comparison& label) {
  if (label.left->steps != label.right->steps ||
      (clip_steps != 0 && label.left->steps != clip_steps)) {
    return absl::InvalidArgumentError(
        absl::StrCat("reward ensemble: label ", label.ordinal,
                     " has clips of another length than the labels before it"));
  }
  ASSIGN_OR_RETURN(const Steps steps, StepsOf({label.left, label.right}));
  RETURN_IF_ERROR(targets.Add(label));
  const torch::Tensor raw = networks.Raw(steps).view({2, label.left->steps, -1});
  clip_steps = label.left->steps;
  const int64_t row = targets.labels() - 1;
  const int64_t capacity = clips.defined() ? clips.size(0) : 0;
  if (row == capacity) {
    const torch::Tensor more =
        torch::zeros({std::max<int64_t>(256, capacity), 2, clip_steps, raw.size(-1)});
    clips = clips.defined() ? torch::cat({clips, more}) : more;
  }
  clips[row].copy_(raw);
  reliabilities.AddLabel(label.labeler);
  bootstrap.Add(label);
  return absl::OkStatus();
}

void RewardEnsemble::Impl::UpdateReliabilities() {
  torch::NoGradGuard no_grad;
  RowLists newest;
  for (int m = 0; m < members; ++m) {
    const std::vector<int64_t>& all = bootstrap.HeldOut(m);
    newest.emplace_back(all.end() - std::min(all.size(), kReliabilityLabels), all.end());
  }
  const PaddedRows padded(newest);
  if (padded.n == 0) return;
  const torch::Tensor returns = Returns(Clips(padded.rows)).contiguous();
  const double noise = model.uniform_answers();
  std::map<int64_t, std::pair<double, int>> answered;  // by row: sum over members, members
  for (size_t at = 0; at < padded.rows.size(); ++at) {
    const float target = targets.left_preferred(padded.rows[at]);
    if (padded.present[at] == 0 || target == 0.5f) continue;
    const float* const clips = returns.data_ptr<float>() + 2 * at;
    const double difference = clips[0] - clips[1];
    const double p =
        (1 - noise) / (1 + std::exp(target > 0.5f ? -difference : difference)) + noise / 2;
    auto& [sum, count] = answered[padded.rows[at]];
    sum += p;
    ++count;
  }
  std::map<int, std::vector<JudgedAnswer>> answers;  // by labeler
  for (const auto& [row, p] : answered) {
    answers[targets.labeler(row)].push_back({p.first / p.second, targets.weight(row)});
  }
  reliabilities.Update(answers);
}

void RewardEnsemble::Impl::Update() {
  std::vector<int64_t> rows;
  rows.reserve(members * model.minibatch_labels());
  for (int m = 0; m < members; ++m) {
    KeyedRandom random(seed, base::Draw::kEnsembleMinibatch, updates, m);
    const std::vector<int64_t>& taken = bootstrap.Taken(m);
    for (int i = 0; i < model.minibatch_labels(); ++i) {
      rows.push_back(taken[random.Below(static_cast<int64_t>(taken.size()))]);
    }
  }
  const torch::Tensor returns = Returns(Clips(rows));
  networks.Descend(
      targets.Losses(returns, rows, std::vector<float>(rows.size(), 1), reliabilities.Relative()),
      penalties, model.learning_rate());
  ++updates;
}

RowLists RewardEnsemble::Impl::Taken() const {
  RowLists lists;
  for (int m = 0; m < members; ++m) lists.push_back(bootstrap.Taken(m));
  return lists;
}

RowLists RewardEnsemble::Impl::Unseen() const {
  RowLists lists;
  for (int m = 0; m < members; ++m) lists.push_back(bootstrap.Unseen(m));
  return lists;
}

RowLists RewardEnsemble::Impl::Sampled(RowLists lists) const {
  KeyedRandom random(seed, base::Draw::kHeldOut, updates);
  for (std::vector<int64_t>& list : lists) {
    const int64_t size = static_cast<int64_t>(list.size());
    const int64_t sampled = std::min<int64_t>(size, kComparedLabels);
    for (int64_t i = 0; i < sampled; ++i) std::swap(list[i], list[i + random.Below(size - i)]);
    list.resize(sampled);
  }
  return lists;
}

Judgement RewardEnsemble::Impl::Judge(const RowLists& lists) const {
  torch::NoGradGuard no_grad;
  Judgement judgement;
  judgement.losses.assign(members, std::nan(""));
  const PaddedRows padded(lists);
  if (padded.n == 0) return judgement;
  const torch::Tensor returns = Returns(Clips(padded.rows)).contiguous();
  const torch::Tensor losses =
      targets.Losses(returns, padded.rows, padded.present, reliabilities.Relative()).contiguous();
  for (int m = 0; m < members; ++m) judgement.losses[m] = losses.data_ptr<float>()[m];
  for (size_t i = 0; i < padded.rows.size(); ++i) {
    const float target = targets.left_preferred(padded.rows[i]);
    if (padded.present[i] == 0 || target == 0.5f) continue;
    const float weight = targets.weight(padded.rows[i]);
    const float* const clips = returns.data_ptr<float>() + 2 * i;
    judgement.decisive += weight;
    if ((clips[0] > clips[1]) == (target > 0.5f)) judgement.right += weight;
  }
  return judgement;
}

void RewardEnsemble::Impl::AdaptPenalties() {
  const Judgement training = Judge(Sampled(Taken())), validation = Judge(Sampled(Unseen()));
  for (int m = 0; m < members; ++m) {
    // a member without unseen labels has no validation loss, which is not a number
    const double ratio = validation.losses[m] / training.losses[m];
    if (ratio > kValidationRatioMax) penalties[m] *= 1 + kPenaltyStep;
    if (ratio < kValidationRatioMin) penalties[m] *= 1 - kPenaltyStep;
    penalties[m] = std::clamp(penalties[m], kPenaltyMin, kPenaltyMax);
  }
}

int64_t RewardEnsemble::Impl::UpdatesPerEpoch() const {
  size_t taken = 0;
  for (int m = 0; m < members; ++m) taken = std::max(taken, bootstrap.Taken(m).size());
  return 1 + static_cast<int64_t>(taken) / model.minibatch_labels();
}

absl::StatusOr<RewardTrainingStats> RewardEnsemble::Impl::Train(int64_t wanted) {
  for (int m = 0; m < members; ++m) {
    if (bootstrap.Taken(m).empty()) {
      return absl::FailedPreconditionError("reward ensemble: there are no labels to train on");
    }
  }
  if (LearnsReliability()) reliabilities.Begin();
  for (const int64_t end = updates + wanted; updates < end;) {
    Update();
    if (model.adapt_l2_penalty() && updates % UpdatesPerEpoch() == 0) AdaptPenalties();
    if (LearnsReliability() && updates >= kReliabilityWarmUp && updates % kReliabilityEvery == 0) {
      UpdateReliabilities();
    }
  }
  const Judgement training = Judge(Sampled(Taken())), validation = Judge(Sampled(Unseen()));
  RewardTrainingStats stats;
  stats.labels = targets.labels();
  stats.training_loss = MeanOf(training.losses);
  stats.validation_loss = MeanOf(validation.losses);
  if (validation.decisive > 0) stats.accuracy = validation.right / validation.decisive;
  double log_penalty = 0;
  for (const double value : penalties) log_penalty += std::log(std::max(value, 1e-12));
  stats.l2_penalty = std::exp(log_penalty / members);
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

int64_t RewardEnsemble::labels() const { return impl_->targets.labels(); }

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

int64_t RewardEnsemble::updates() const { return impl_->updates; }

absl::StatusOr<RewardTrainingStats> RewardEnsemble::Train(int64_t updates) {
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
  state.SetNumbers(kPenaltyName, impl_->penalties);
  state.metadata["kind"] = "reward_state";
  return state;
}

absl::Status RewardEnsemble::LoadState(const nn::Snapshot& state, int64_t updates) {
  ASSIGN_OR_RETURN(const std::vector<double> penalties, state.Numbers(kPenaltyName));
  if (penalties.size() != impl_->penalties.size()) {
    return absl::InvalidArgumentError(
        "the reward state has another number of L2 penalties than members");
  }
  return Guard("reward state", [&]() -> absl::Status {
    RETURN_IF_ERROR(impl_->networks.Load(state));
    RETURN_IF_ERROR(impl_->reliabilities.Load(state));
    impl_->updates = updates;
    impl_->penalties = penalties;
    return absl::OkStatus();
  });
}

}  // namespace backflip::learn
