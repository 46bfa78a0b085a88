// The reward ensemble of Christiano et al. 2017, section 2.2.3: several networks
// fitted to comparisons of clips, trained as one batched network.
//
// P[left ≻ right] = (1 − n) · σ(Σ r(left) − Σ r(right)) + n / 2, with n the share
// of answers given at random; the loss is the cross-entropy against the answer.
// Every member has its own bootstrap of the labels. Labels arrive over time, so a
// member's bootstrap is drawn label by label: it takes each label Poisson(1)
// times, what drawing |D| from D with replacement tends to. The labels it takes
// zero times, 1/e of them in expectation, are its validation set. Its weight
// decay (an L2 penalty) grows while validation loss is above
// `validation_ratio_max` × training loss, shrinks while under
// `validation_ratio_min` ×.
//
// Reliability of labelers (Crowd-BT: Chen, Bennett, Collins-Thompson, Horvitz
// 2013, "Pairwise ranking aggregation in a crowdsourced setting"): labeler k
// answers what they see with probability η_k, its reverse otherwise, so that
// P′ = η′_k · P + (1 − η′_k) · (1 − P) takes the place of P in the loss. η′ near ½
// takes a labeler's labels out of it; η′ under ½ turns them around.
//
// η′ is η relative to the best labeler's: 2 η′_k − 1 = (2 η_k − 1) / (2 max η − 1),
// at least −1. Where even the best labeler answers against the networks, these
// are wrong more often than the labeler: with η itself the loss would explain
// away just those answers from which there is most to learn (what is rare, such
// as a first landing). Lapses of good labelers are n's.
//
// η_k is shared by the members and learned in turns with them. Between updates
// of the networks it becomes the mean of its posterior,
//   p(η) ∝ η^(a − 1) (1 − η)^(b − 1) · ∏ (η p_i + (1 − η)(1 − p_i)),
// over the decisive labels i of k that some member holds out, with p_i the mean
// over just those members of P[the answer that was given]: networks memorise
// answers, and those that they were trained on would make every labeler look
// right. The prior is Beta(a, b) = Beta(prior_right + gold right,
// prior_wrong + gold wrong). Given the p_i the posterior has one maximum and is
// known exactly (here on a grid), and so are its quantiles; they take the p_i as
// certain. Flipping every η and every reward together explains the answers as
// well: the networks therefore begin with all η at their priors' means, which
// turns them towards what most labelers say.
#ifndef BACKFLIP_COMMON_LEARN_REWARD_ENSEMBLE_H_
#define BACKFLIP_COMMON_LEARN_REWARD_ENSEMBLE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/nn/snapshot.h"

namespace backflip::learn {

struct RewardEnsembleConfig {
  int members = 3;
  std::vector<int> hidden = {64, 64};  // leaky ReLU layers
  double learning_rate = 1e-3;         // Adam
  int minibatch = 64;                  // labels of each member in an update
  double random_answers = 0.1;         // n above
  bool bootstrap = true;               // false: members take each label once
  // Share of the labels that each member holds out, [0, 0.9]: those its
  // bootstrap did not draw come first. 1/e holds out exactly these.
  double held_out = 0.36787944117144233;
  double weight_decay = 1e-4;  // at the start
  // How much a training round may change a member's weight decay: × (1 ± this).
  // 0 keeps it fixed, and so does held_out 0.
  double weight_decay_step = 0.05;
  double validation_ratio_min = 1.1;
  double validation_ratio_max = 1.5;
  double observation_clip = 10;
  double action_clip = 1;
  // Labelers have reliabilities, once two or more of them have labels. Needs
  // held-out labels: without, reliabilities stay at their priors' means.
  bool learn_reliability = false;
  // Beta prior of each η, before gold: both at least 1.
  double prior_right = 4;
  double prior_wrong = 1;
  uint64_t seed = 1;
};

// Clips of k steps, the observation being the one the action was chosen at.
struct Clip {
  std::vector<float> observations;  // [k, o]
  std::vector<float> actions;       // [k, a]
};

struct Label {
  // Position among the run's labels. It, and the seed, decide which members take
  // the label: the same labels give the same bootstraps whenever they arrive.
  int64_t ordinal = 0;
  Clip left, right;
  // Share of the preference for `left`: 1 left, 0 right, 0.5 a tie. "Cannot
  // tell" is no label.
  float left_preferred = 0.5f;
  // A small number for whoever gave it.
  int labeler = 0;
};

// What is believed of a labeler's η.
struct Reliability {
  int labeler = 0;
  double mean = 0;
  double low = 0, high = 0;  // central 90 %
  int64_t labels = 0;        // of the labeler, in the ensemble
};

struct RewardTrainingStats {
  int64_t labels = 0;
  double training_loss = 0;    // means over members and this round's updates
  double validation_loss = 0;  // on held-out labels after the round
  // Share of decisive held-out labels whose preferred clip has the greater
  // predicted return, over members; 0.5 before any is held out.
  double accuracy = 0.5;
  double weight_decay = 0;  // geometric mean over members
};

// Not thread-safe. Calls block for as long as they compute.
class RewardEnsemble {
 public:
  // InvalidArgument names the option that is out of range.
  static absl::StatusOr<std::unique_ptr<RewardEnsemble>> Create(const RewardEnsembleConfig& config,
                                                                int observation_size,
                                                                int action_size);
  ~RewardEnsemble();

  int members() const;
  int64_t labels() const;

  // Takes in a label. All clips have as many steps as the first label's.
  absl::Status AddLabel(const Label& label);

  // How often a labeler's answers to pairs with a known answer were right and
  // wrong, for the prior. Taken into account by the next round.
  void SetGold(int labeler, int64_t right, int64_t wrong);

  // As of the last round, by labeler; empty while reliabilities are not learned.
  std::vector<Reliability> Reliabilities() const;

  // One training round of `updates` minibatches, and one step of the weight
  // decays. FailedPrecondition when a member has nothing to train on. The draws
  // depend on the seed and on the number of rounds before.
  absl::StatusOr<RewardTrainingStats> Train(int updates);

  // Takes `steps` observations [steps, o] into the input normaliser. Feed it
  // every candidate once.
  absl::Status AddObservations(const std::vector<float>& observations);

  // Fixes each member's mean and deviation as those of its rewards of these
  // steps, best the newest candidates. Before the first call they are 0 and 1.
  absl::Status NormalizeMembers(const std::vector<float>& observations,
                                const std::vector<float>& actions);

  // Rewards [steps] as ToSnapshot() would give them (common/nn/reward.h).
  absl::StatusOr<std::vector<float>> Score(const std::vector<float>& observations,
                                           const std::vector<float>& actions) const;

  // Members' own returns [clips][members] of clips of equal length, not
  // normalised: what the preference probability is made of.
  absl::StatusOr<std::vector<std::vector<double>>> ClipReturns(
      const std::vector<const Clip*>& clips) const;

  // The reward for publishing.
  nn::Snapshot ToSnapshot() const;

  // Weights, moments, decays, normalisers, reliabilities and counters, without
  // the labels and gold: add those again, in any order of ordinals that was used before, then load.
  nn::Snapshot SaveState() const;
  absl::Status LoadState(const nn::Snapshot& state);

 private:
  struct Impl;
  explicit RewardEnsemble(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_REWARD_ENSEMBLE_H_
