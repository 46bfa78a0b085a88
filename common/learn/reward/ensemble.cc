#include "common/learn/reward/ensemble.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/learn/parameters.h"
#include "common/learn/random.h"
#include "common/nn/normalizer.h"

namespace backflip::learn {
namespace {

// Validation looks at this many held-out labels of each member at most: more
// would cost as much as training.
constexpr int64_t kValidationLabels = 96;

// Reliabilities look at this many of the newest held-out labels of each member.
constexpr size_t kReliabilityLabels = 2048;
// Updates of new networks before the first look at reliabilities, and between
// looks within a round.
constexpr int kReliabilityWarmUp = 50;
constexpr int kReliabilityEvery = 25;
// Values of η between 0 and 1 that a posterior is computed at: far narrower
// than any posterior is.
constexpr int kReliabilityGrid = 500;

constexpr double kWeightDecayMin = 1e-7;
constexpr double kWeightDecayMax = 1.0;

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

// The posterior of η under a Beta(right, wrong) prior and answers that have
// these probabilities at η = 1.
Reliability PosteriorOf(double right, double wrong, const std::vector<double>& answers) {
  std::vector<double> log_density(kReliabilityGrid);
  for (int i = 0; i < kReliabilityGrid; ++i) {
    const double eta = (i + 0.5) / kReliabilityGrid;
    log_density[i] = (right - 1) * std::log(eta) + (wrong - 1) * std::log(1 - eta);
    for (const double p : answers) {
      log_density[i] += std::log(eta * p + (1 - eta) * (1 - p));
    }
  }
  const double greatest = *std::max_element(log_density.begin(), log_density.end());
  double total = 0;
  for (double& value : log_density) total += value = std::exp(value - greatest);
  Reliability result;
  double below = 0;
  for (int i = 0; i < kReliabilityGrid; ++i) {
    const double share = log_density[i] / total;
    result.mean += share * (i + 0.5) / kReliabilityGrid;
    const auto quantile = [&](double q, double* value) {
      if (below < q && below + share >= q) {
        *value = (i + (q - below) / share) / kReliabilityGrid;
      }
    };
    quantile(0.05, &result.low);
    quantile(0.95, &result.high);
    below += share;
  }
  return result;
}

absl::Status Check(const RewardEnsembleConfig& c, int observations, int actions) {
  const auto require = [](bool good, const char* what) {
    return good ? absl::OkStatus() : absl::InvalidArgumentError(what);
  };
  RETURN_IF_ERROR(require(observations > 0 && actions >= 0,
                          "reward ensemble: observation and action sizes must be positive"));
  RETURN_IF_ERROR(require(c.members >= 1 && c.members <= 1000,
                          "reward ensemble: members must be in [1, 1000]"));
  for (const int size : c.hidden) {
    RETURN_IF_ERROR(require(size > 0, "reward ensemble: hidden layers must be positive"));
  }
  RETURN_IF_ERROR(require(c.learning_rate > 0 && c.minibatch > 0,
                          "reward ensemble: learning_rate and minibatch must be positive"));
  RETURN_IF_ERROR(require(c.random_answers >= 0 && c.random_answers < 1,
                          "reward ensemble: random_answers must be in [0, 1)"));
  RETURN_IF_ERROR(require(c.held_out >= 0 && c.held_out <= 0.9,
                          "reward ensemble: held_out must be in [0, 0.9]"));
  RETURN_IF_ERROR(require(c.weight_decay >= 0 && c.weight_decay_step >= 0 &&
                              c.weight_decay_step < 1 &&
                              c.validation_ratio_min <= c.validation_ratio_max,
                          "reward ensemble: weight_decay must be >= 0, its step in [0, 1), and "
                          "validation_ratio_min <= validation_ratio_max"));
  RETURN_IF_ERROR(require(c.prior_right >= 1 && c.prior_wrong >= 1,
                          "reward ensemble: prior_right and prior_wrong must be at least 1"));
  return require(c.observation_clip > 0 && c.action_clip > 0,
                 "reward ensemble: observation_clip and action_clip must be > 0");
}

}  // namespace

struct RewardEnsemble::Impl {
  static Parameters::Named Networks(const RewardEnsembleConfig& config,
                                    const std::vector<int64_t>& sizes) {
    at::Generator generator = at::detail::createCPUGenerator(
        KeyedRandom(config.seed, base::Draw::kEnsembleWeights).Next());
    Parameters::Named named;
    for (size_t i = 0; i + 1 < sizes.size(); ++i) {
      // uniform within 1/√in, every member its own
      const double bound = 1 / std::sqrt(static_cast<double>(sizes[i]));
      const auto uniform = [&](std::vector<int64_t> shape) {
        return (torch::rand(shape, generator, torch::kFloat32) * 2 - 1) * bound;
      };
      named.emplace_back(absl::StrCat("layer", i, ".weight"),
                         uniform({config.members, sizes[i], sizes[i + 1]}));
      named.emplace_back(absl::StrCat("layer", i, ".bias"),
                         uniform({config.members, 1, sizes[i + 1]}));
    }
    return named;
  }

  Impl(const RewardEnsembleConfig& config, int o, int a, std::vector<int64_t> sizes)
      : config(config),
        observation_size(o),
        action_size(a),
        sizes(std::move(sizes)),
        networks(Networks(config, this->sizes)),
        normalizer(o),
        decay(config.members, config.weight_decay),
        member_mean(config.members, 0.0f),
        member_std(config.members, 1.0f),
        taken(config.members),
        held_out(config.members) {}

  size_t layers() const { return sizes.size() - 1; }

  // Network inputs [..., o + a] of raw ones.
  torch::Tensor Inputs(const torch::Tensor& raw) const;
  // Rewards [members, n] of inputs [members, n, o + a].
  torch::Tensor Forward(torch::Tensor x) const;
  // Rewards [members, steps], not normalised.
  torch::Tensor Raw(const std::vector<float>& observations,
                    const std::vector<float>& actions) const;
  // Differences of returns [members, n] of labels `rows` [members × n].
  torch::Tensor Differences(const std::vector<int64_t>& rows) const;
  // Losses [members, n] of each label; weights of single labels belong here.
  torch::Tensor Losses(const torch::Tensor& differences, const std::vector<int64_t>& rows) const;

  absl::Status CheckSteps(const std::vector<float>& observations,
                          const std::vector<float>& actions) const;
  absl::Status AddLabel(const Label& label);
  absl::StatusOr<RewardTrainingStats> Train(int updates);

  bool LearnsReliability() const { return config.learn_reliability && labels_of.size() >= 2; }
  // Gives every labeler the posterior of the networks as they stand, or only
  // those without any their prior.
  void UpdateReliabilities();
  void StartReliabilities();
  // η′ of each labeler.
  std::map<int, double> RelativeReliabilities() const;
  Reliability ReliabilityOf(int labeler, const std::vector<double>& answers) const;

  const RewardEnsembleConfig config;
  const int observation_size;
  const int action_size;
  const std::vector<int64_t> sizes;  // from input to output
  Parameters networks;
  nn::Normalizer normalizer;
  std::vector<double> decay;
  std::vector<float> member_mean, member_std;
  int64_t rounds = 0;

  // Labels in the order in which they came, raw inputs [capacity, 2, k, o + a].
  torch::Tensor clips;
  int64_t clip_steps = 0;
  std::vector<float> left_preferred;
  std::vector<int> labelers;
  std::map<int, int64_t> labels_of;                 // by labeler
  std::map<int, std::pair<int64_t, int64_t>> gold;  // right, wrong
  std::map<int, Reliability> reliabilities;         // empty: not learned
  // Per member: rows it trains on, as often as it took them, and the others.
  std::vector<std::vector<int64_t>> taken, held_out;
};

torch::Tensor RewardEnsemble::Impl::Inputs(const torch::Tensor& raw) const {
  const torch::Tensor mean = ToTorch(normalizer.Mean(), {observation_size});
  const torch::Tensor deviation = ToTorch(normalizer.StandardDeviation(), {observation_size});
  const torch::Tensor observations = ((raw.narrow(-1, 0, observation_size) - mean) / deviation)
                                         .clamp_(-config.observation_clip, config.observation_clip);
  const torch::Tensor actions =
      raw.narrow(-1, observation_size, action_size).clamp(-config.action_clip, config.action_clip);
  return torch::cat({observations, actions}, -1);
}

torch::Tensor RewardEnsemble::Impl::Forward(torch::Tensor x) const {
  for (size_t i = 0; i < layers(); ++i) {
    x = torch::baddbmm(networks[2 * i + 1], x, networks[2 * i]);
    if (i + 1 < layers()) x = torch::leaky_relu(x, 0.01);
  }
  return x.squeeze(-1);
}

torch::Tensor RewardEnsemble::Impl::Raw(const std::vector<float>& observations,
                                        const std::vector<float>& actions) const {
  torch::NoGradGuard no_grad;
  const int64_t steps = static_cast<int64_t>(observations.size()) / observation_size;
  const torch::Tensor raw = torch::cat(
      {ToTorch(observations, {steps, observation_size}), ToTorch(actions, {steps, action_size})},
      1);
  return Forward(Inputs(raw).unsqueeze(0).expand({config.members, steps, sizes.front()}));
}

torch::Tensor RewardEnsemble::Impl::Differences(const std::vector<int64_t>& rows) const {
  const int64_t n = static_cast<int64_t>(rows.size()) / config.members;
  const torch::Tensor index = torch::tensor(rows, torch::kInt64);
  const torch::Tensor x = Inputs(clips.index_select(0, index))
                              .view({config.members, n * 2 * clip_steps, sizes.front()});
  const torch::Tensor returns = Forward(x).view({config.members, n, 2, clip_steps}).sum(-1);
  return returns.select(2, 0) - returns.select(2, 1);
}

torch::Tensor RewardEnsemble::Impl::Losses(const torch::Tensor& differences,
                                           const std::vector<int64_t>& rows) const {
  std::vector<float> targets;
  targets.reserve(rows.size());
  for (const int64_t row : rows) targets.push_back(left_preferred[row]);
  const torch::Tensor target = ToTorch(targets, differences.sizes().vec());
  const double noise = config.random_answers;
  // the floor keeps the logarithm finite when no answer is random
  torch::Tensor left = torch::sigmoid(differences) * (1 - noise) + noise / 2;
  if (!reliabilities.empty()) {
    const std::map<int, double> relative = RelativeReliabilities();
    std::vector<float> of_rows;
    of_rows.reserve(rows.size());
    for (const int64_t row : rows) {
      of_rows.push_back(static_cast<float>(relative.at(labelers[row])));
    }
    const torch::Tensor eta = ToTorch(of_rows, differences.sizes().vec());
    left = eta * left + (1 - eta) * (1 - left);
  }
  left = left.clamp(1e-7, 1 - 1e-7);
  return -(target * left.log() + (1 - target) * (1 - left).log());
}

absl::Status RewardEnsemble::Impl::CheckSteps(const std::vector<float>& observations,
                                              const std::vector<float>& actions) const {
  const size_t steps = observations.size() / observation_size;
  if (steps == 0 || observations.size() != steps * observation_size ||
      actions.size() != steps * action_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "reward ensemble: ", observations.size(), " observation values and ", actions.size(),
        " action values are not steps of ", observation_size, " and ", action_size));
  }
  for (const std::vector<float>* values : {&observations, &actions}) {
    for (const float value : *values) {
      if (!std::isfinite(value)) {
        return absl::InvalidArgumentError("reward ensemble: a value that is not finite");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status RewardEnsemble::Impl::AddLabel(const Label& label) {
  RETURN_IF_ERROR(CheckSteps(label.left.observations, label.left.actions));
  RETURN_IF_ERROR(CheckSteps(label.right.observations, label.right.actions));
  const int64_t steps = static_cast<int64_t>(label.left.observations.size()) / observation_size;
  if (label.right.observations.size() != label.left.observations.size() ||
      (clip_steps != 0 && steps != clip_steps)) {
    return absl::InvalidArgumentError(
        absl::StrCat("reward ensemble: label ", label.ordinal,
                     " has clips of another length than the labels before it"));
  }
  if (!(label.left_preferred >= 0 && label.left_preferred <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("reward ensemble: label ", label.ordinal,
                                                   " prefers left by a share outside [0, 1]"));
  }
  clip_steps = steps;
  const int64_t row = static_cast<int64_t>(left_preferred.size());
  const int64_t capacity = clips.defined() ? clips.size(0) : 0;
  if (row == capacity) {
    const torch::Tensor more =
        torch::zeros({std::max<int64_t>(256, capacity), 2, steps, sizes.front()});
    clips = clips.defined() ? torch::cat({clips, more}) : more;
  }
  const Clip* sides[] = {&label.left, &label.right};
  for (int side = 0; side < 2; ++side) {
    torch::Tensor target = clips[row][side];
    target.narrow(1, 0, observation_size)
        .copy_(ToTorch(sides[side]->observations, {steps, observation_size}));
    target.narrow(1, observation_size, action_size)
        .copy_(ToTorch(sides[side]->actions, {steps, action_size}));
  }
  left_preferred.push_back(label.left_preferred);
  labelers.push_back(label.labeler);
  ++labels_of[label.labeler];
  for (int m = 0; m < config.members; ++m) {
    const double draw =
        KeyedRandom(config.seed, base::Draw::kBootstrap, label.ordinal, m).Uniform();
    if (draw < config.held_out) {
      held_out[m].push_back(row);
    } else {
      taken[m].insert(taken[m].end(), config.bootstrap ? Poisson1(draw) : 1, row);
    }
  }
  return absl::OkStatus();
}

Reliability RewardEnsemble::Impl::ReliabilityOf(int labeler,
                                                const std::vector<double>& answers) const {
  const auto known = gold.find(labeler);
  const auto [right, wrong] = known == gold.end() ? std::pair<int64_t, int64_t>() : known->second;
  Reliability reliability = PosteriorOf(config.prior_right + static_cast<double>(right),
                                        config.prior_wrong + static_cast<double>(wrong), answers);
  reliability.labeler = labeler;
  reliability.labels = labels_of.at(labeler);
  return reliability;
}

void RewardEnsemble::Impl::StartReliabilities() {
  for (const auto& [labeler, labels] : labels_of) {
    if (reliabilities.count(labeler) == 0) {
      reliabilities[labeler] = ReliabilityOf(labeler, {});
    }
  }
}

std::map<int, double> RewardEnsemble::Impl::RelativeReliabilities() const {
  double best = 0;
  for (const auto& [labeler, of] : reliabilities) best = std::max(best, of.mean);
  const double scale = best > 0.5 ? 2 * best - 1 : 1;
  std::map<int, double> relative;
  for (const auto& [labeler, of] : reliabilities) {
    relative[labeler] = 0.5 + 0.5 * std::max(-1.0, (2 * of.mean - 1) / scale);
  }
  return relative;
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
  rows.reserve(config.members * most);
  for (const std::vector<int64_t>& all : held_out) {
    for (size_t i = 0; i < most; ++i) {
      rows.push_back(all[all.size() - 1 - i % all.size()]);
    }
  }
  const torch::Tensor differences = Differences(rows).contiguous();
  const double noise = config.random_answers;
  std::map<int64_t, std::pair<double, int>> answered;  // sum over members, members
  for (int m = 0; m < config.members; ++m) {
    for (size_t i = 0; i < std::min(most, held_out[m].size()); ++i) {
      const size_t at = m * most + i;
      const float target = left_preferred[rows[at]];
      if (target == 0.5f) continue;
      const double difference = differences.data_ptr<float>()[at];
      const double p =
          (1 - noise) / (1 + std::exp(target > 0.5f ? -difference : difference)) + noise / 2;
      auto& [sum, members] = answered[rows[at]];
      sum += p;
      ++members;
    }
  }
  std::map<int, std::vector<double>> of_labeler;
  for (const auto& [row, p] : answered) {
    of_labeler[labelers[row]].push_back(p.first / p.second);
  }
  for (const auto& [labeler, labels] : labels_of) {
    reliabilities[labeler] = ReliabilityOf(labeler, of_labeler[labeler]);
  }
}

absl::StatusOr<RewardTrainingStats> RewardEnsemble::Impl::Train(int updates) {
  for (const std::vector<int64_t>& rows : taken) {
    if (rows.empty()) {
      return absl::FailedPreconditionError(
          "reward ensemble: too few labels: a member has none to train on");
    }
  }
  const int members = config.members;
  RewardTrainingStats stats;
  stats.labels = static_cast<int64_t>(left_preferred.size());
  std::vector<double> training(members, 0.0);
  if (LearnsReliability()) StartReliabilities();
  for (int update = 0; update < updates; ++update) {
    if (LearnsReliability() && rounds == 0 && update >= kReliabilityWarmUp &&
        update % kReliabilityEvery == 0) {
      UpdateReliabilities();
    }
    std::vector<int64_t> rows;
    rows.reserve(members * config.minibatch);
    for (int m = 0; m < members; ++m) {
      KeyedRandom random(config.seed, base::Draw::kEnsembleMinibatch,
                         static_cast<uint64_t>(rounds) << 20 | update, m);
      for (int i = 0; i < config.minibatch; ++i) {
        rows.push_back(taken[m][random.Below(static_cast<int64_t>(taken[m].size()))]);
      }
    }
    const torch::Tensor losses = Losses(Differences(rows), rows).mean(1);  // [members]
    networks.ClearGradients();
    losses.sum().backward();
    {
      torch::NoGradGuard no_grad;
      const torch::Tensor penalty = torch::tensor(decay, torch::kFloat32).view({members, 1, 1});
      for (size_t i = 0; i < layers(); ++i) {
        networks.Gradient(2 * i).addcmul_(networks[2 * i].detach(), penalty);
      }
    }
    networks.Step(config.learning_rate);
    const torch::Tensor plain = losses.detach();
    for (int m = 0; m < members; ++m) {
      training[m] += plain.data_ptr<float>()[m] / updates;
    }
  }

  if (LearnsReliability() && (rounds > 0 || updates >= kReliabilityWarmUp)) {
    UpdateReliabilities();
  }

  // validation, and a step of every member's weight decay
  double accuracy = 0, decisive = 0, log_decay = 0;
  for (int m = 0; m < members; ++m) {
    stats.training_loss += training[m] / members;
  }
  int64_t validation_labels = kValidationLabels;
  for (int m = 0; m < members; ++m) {
    validation_labels =
        std::min<int64_t>(validation_labels, static_cast<int64_t>(held_out[m].size()));
  }
  if (validation_labels > 0) {
    torch::NoGradGuard no_grad;
    KeyedRandom random(config.seed, base::Draw::kHeldOut, rounds);
    std::vector<int64_t> rows;
    for (int m = 0; m < members; ++m) {
      // every label at most once: a random part of a shuffled copy
      std::vector<int64_t> all = held_out[m];
      for (int64_t i = 0; i < validation_labels; ++i) {
        std::swap(all[i], all[i + random.Below(static_cast<int64_t>(all.size()) - i)]);
        rows.push_back(all[i]);
      }
    }
    const torch::Tensor differences = Differences(rows).contiguous();
    const torch::Tensor losses = Losses(differences, rows).mean(1).contiguous();
    for (int m = 0; m < members; ++m) {
      const double validation = losses.data_ptr<float>()[m];
      stats.validation_loss += validation / members;
      if (validation > config.validation_ratio_max * training[m]) {
        decay[m] *= 1 + config.weight_decay_step;
      } else if (validation < config.validation_ratio_min * training[m]) {
        decay[m] *= 1 - config.weight_decay_step;
      }
      decay[m] = std::clamp(decay[m], kWeightDecayMin, kWeightDecayMax);
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      const float target = left_preferred[rows[i]];
      if (target == 0.5f) continue;
      ++decisive;
      accuracy += (differences.data_ptr<float>()[i] > 0) == (target > 0.5f);
    }
  }
  for (const double value : decay) log_decay += std::log(std::max(value, 1e-12));
  stats.weight_decay = std::exp(log_decay / members);
  if (decisive > 0) stats.accuracy = accuracy / decisive;
  ++rounds;
  return stats;
}

RewardEnsemble::RewardEnsemble(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RewardEnsemble::~RewardEnsemble() = default;

absl::StatusOr<std::unique_ptr<RewardEnsemble>> RewardEnsemble::Create(
    const RewardEnsembleConfig& config, int observation_size, int action_size) {
  RETURN_IF_ERROR(Check(config, observation_size, action_size));
  std::vector<int64_t> sizes = {observation_size + action_size};
  sizes.insert(sizes.end(), config.hidden.begin(), config.hidden.end());
  sizes.push_back(1);
  std::unique_ptr<RewardEnsemble> ensemble;
  RETURN_IF_ERROR(Guard("reward ensemble", [&] {
    ensemble.reset(
        new RewardEnsemble(std::make_unique<Impl>(config, observation_size, action_size, sizes)));
    return absl::OkStatus();
  }));
  return ensemble;
}

int RewardEnsemble::members() const { return impl_->config.members; }

int64_t RewardEnsemble::labels() const {
  return static_cast<int64_t>(impl_->left_preferred.size());
}

absl::Status RewardEnsemble::AddLabel(const Label& label) {
  return Guard("reward ensemble", [&] { return impl_->AddLabel(label); });
}

void RewardEnsemble::SetGold(int labeler, int64_t right, int64_t wrong) {
  impl_->gold[labeler] = {right, wrong};
}

std::vector<Reliability> RewardEnsemble::Reliabilities() const {
  std::vector<Reliability> all;
  for (const auto& [labeler, reliability] : impl_->reliabilities) {
    all.push_back(reliability);
  }
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

absl::Status RewardEnsemble::AddObservations(const std::vector<float>& observations) {
  if (observations.size() % impl_->observation_size != 0) {
    return absl::InvalidArgumentError("reward ensemble: observations of another size");
  }
  impl_->normalizer.Add(observations.data(),
                        static_cast<int64_t>(observations.size()) / impl_->observation_size);
  return absl::OkStatus();
}

absl::Status RewardEnsemble::NormalizeMembers(const std::vector<float>& observations,
                                              const std::vector<float>& actions) {
  RETURN_IF_ERROR(impl_->CheckSteps(observations, actions));
  return Guard("reward ensemble", [&] {
    const torch::Tensor raw = impl_->Raw(observations, actions);
    const torch::Tensor mean = raw.mean(1).contiguous();
    const torch::Tensor deviation = raw.std(1, /*unbiased=*/false).clamp_min(1e-6).contiguous();
    for (int m = 0; m < members(); ++m) {
      impl_->member_mean[m] = mean.data_ptr<float>()[m];
      impl_->member_std[m] = deviation.data_ptr<float>()[m];
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<float>> RewardEnsemble::Score(const std::vector<float>& observations,
                                                         const std::vector<float>& actions) const {
  RETURN_IF_ERROR(impl_->CheckSteps(observations, actions));
  std::vector<float> rewards;
  RETURN_IF_ERROR(Guard("reward ensemble", [&] {
    const int64_t e = members();
    const torch::Tensor raw = impl_->Raw(observations, actions);
    rewards =
        FromTorch(((raw - ToTorch(impl_->member_mean, {e, 1})) / ToTorch(impl_->member_std, {e, 1}))
                      .mean(0))
            .values;
    return absl::OkStatus();
  }));
  return rewards;
}

absl::StatusOr<std::vector<std::vector<double>>> RewardEnsemble::ClipReturns(
    const std::vector<const Clip*>& clips) const {
  std::vector<std::vector<double>> returns;
  if (clips.empty()) return returns;
  std::vector<float> observations, actions;
  for (const Clip* clip : clips) {
    if (clip->observations.size() != clips[0]->observations.size() ||
        clip->actions.size() != clips[0]->actions.size()) {
      return absl::InvalidArgumentError("reward ensemble: clips of different lengths");
    }
    observations.insert(observations.end(), clip->observations.begin(), clip->observations.end());
    actions.insert(actions.end(), clip->actions.begin(), clip->actions.end());
  }
  RETURN_IF_ERROR(impl_->CheckSteps(observations, actions));
  RETURN_IF_ERROR(Guard("reward ensemble", [&] {
    const int64_t n = static_cast<int64_t>(clips.size());
    const torch::Tensor sums =
        impl_->Raw(observations, actions).view({members(), n, -1}).sum(-1).contiguous();
    for (int64_t i = 0; i < n; ++i) {
      std::vector<double>& of_clip = returns.emplace_back();
      for (int m = 0; m < members(); ++m) {
        of_clip.push_back(sums.data_ptr<float>()[m * n + i]);
      }
    }
    return absl::OkStatus();
  }));
  return returns;
}

nn::Snapshot RewardEnsemble::ToSnapshot() const {
  nn::Snapshot snapshot;
  const int e = members(), o = impl_->observation_size;
  for (size_t i = 0; i < impl_->layers(); ++i) {
    const std::string name = absl::StrCat("layer", i);
    snapshot.tensors[name + ".weight"] = FromTorch(impl_->networks[2 * i]);
    snapshot.tensors[name + ".bias"] = FromTorch(impl_->networks[2 * i + 1].squeeze(1));
  }
  snapshot.tensors["observation_mean"] = {{o}, impl_->normalizer.Mean()};
  snapshot.tensors["observation_std"] = {{o}, impl_->normalizer.StandardDeviation()};
  snapshot.tensors["member_mean"] = {{e}, impl_->member_mean};
  snapshot.tensors["member_std"] = {{e}, impl_->member_std};
  snapshot.metadata["kind"] = "reward";
  snapshot.metadata["members"] = absl::StrCat(e);
  snapshot.metadata["observations"] = absl::StrCat(o);
  snapshot.metadata["layers"] = absl::StrJoin(impl_->sizes, ",");
  snapshot.metadata["activation"] = "leaky_relu";
  snapshot.SetNumbers("observation_clip", {impl_->config.observation_clip});
  snapshot.SetNumbers("action_clip", {impl_->config.action_clip});
  return snapshot;
}

nn::Snapshot RewardEnsemble::SaveState() const {
  nn::Snapshot state;
  const int e = members();
  impl_->networks.Save("networks.", &state);
  impl_->normalizer.Save("normalizer", &state);
  state.tensors["member_mean"] = {{e}, impl_->member_mean};
  state.tensors["member_std"] = {{e}, impl_->member_std};
  state.SetNumbers("weight_decay", impl_->decay);
  std::vector<double> reliabilities;  // labeler, mean, low, high, labels; again
  for (const auto& [labeler, r] : impl_->reliabilities) {
    reliabilities.insert(reliabilities.end(), {static_cast<double>(labeler), r.mean, r.low, r.high,
                                               static_cast<double>(r.labels)});
  }
  if (!reliabilities.empty()) state.SetNumbers("reliabilities", reliabilities);
  state.metadata["kind"] = "reward_state";
  state.metadata["rounds"] = absl::StrCat(impl_->rounds);
  return state;
}

absl::Status RewardEnsemble::LoadState(const nn::Snapshot& state) {
  const int e = members();
  ASSIGN_OR_RETURN(const int64_t rounds, state.Integer("rounds"));
  ASSIGN_OR_RETURN(const std::vector<double> decay, state.Numbers("weight_decay"));
  ASSIGN_OR_RETURN(const nn::Tensor* mean, state.Find("member_mean", {e}));
  ASSIGN_OR_RETURN(const nn::Tensor* deviation, state.Find("member_std", {e}));
  if (decay.size() != static_cast<size_t>(e)) {
    return absl::InvalidArgumentError(
        "the reward state has another number of weight decays than members");
  }
  std::map<int, Reliability> reliabilities;
  if (state.metadata.count("reliabilities") > 0) {
    ASSIGN_OR_RETURN(const std::vector<double> numbers, state.Numbers("reliabilities"));
    if (numbers.size() % 5 != 0) {
      return absl::InvalidArgumentError("the reward state has reliabilities that cannot be read");
    }
    for (size_t i = 0; i < numbers.size(); i += 5) {
      const int labeler = static_cast<int>(numbers[i]);
      reliabilities[labeler] = {labeler, numbers[i + 1], numbers[i + 2], numbers[i + 3],
                                static_cast<int64_t>(numbers[i + 4])};
    }
  }
  return Guard("reward state", [&]() -> absl::Status {
    RETURN_IF_ERROR(impl_->networks.Load("networks.", state));
    RETURN_IF_ERROR(impl_->normalizer.Load("normalizer", state));
    impl_->rounds = rounds;
    impl_->decay = decay;
    impl_->reliabilities = std::move(reliabilities);
    impl_->member_mean = mean->values;
    impl_->member_std = deviation->values;
    return absl::OkStatus();
  });
}

}  // namespace backflip::learn
