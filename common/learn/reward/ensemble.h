// The reward ensemble of Christiano et al. 2017, section 2.2.3: several networks
// fitted to comparisons of clips, trained as one batched network.
//
// P[left ≻ right] = (1 − n) · σ(Σ r(left) − Σ r(right)) + n / 2, with n the share of
// answers given at random; the loss is the cross-entropy against the answer (loss.h), in
// which each labeler has a reliability (reliability.h) and each comparison its weight.
//
// Every member has its own bootstrap of the labels, and holds out the others (bootstrap.h).
// Losses and accuracy are those on held-out labels of which it never saw either clip. Its L2
// penalty, whose gradient is added to the loss's before Adam, grows while that loss is above
// 1.5 × the loss on labels that it trains on, and shrinks while it is below 1.1 ×: a step
// each epoch, the losses being of the same moment.
//
// Reliabilities are shared by the members and learned in turns with them, from the
// decisive labels that some member holds out. p_i is the mean over just those members of
// P[the answer that was given]: networks memorise answers, and members that were trained
// on an answer would make every labeler look right. One of the clips may be known from other
// answers: that is what labelers are judged by.
#ifndef BACKFLIP_COMMON_LEARN_REWARD_ENSEMBLE_H_
#define BACKFLIP_COMMON_LEARN_REWARD_ENSEMBLE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "common/experience/clip.h"
#include "common/learn/reward/reliability.h"
#include "common/nn/snapshot.h"

namespace backflip::learn {

struct RewardTrainingStats {
  int64_t labels = 0;
  // Means over members, after the updates: of a sample of the labels that a member trains
  // on, and of those of which it never saw either clip; 0: there are none.
  double training_loss = 0;
  double validation_loss = 0;
  // Share of the latter, without ties, whose preferred clip has the greater predicted
  // return, over members; 0.5: there are none.
  double accuracy = 0.5;
  double l2_penalty = 0;  // geometric mean over members
};

// Uses the steps of a clip alone: what follows its last action is shown to people, but not
// rewarded. Not thread-safe. Calls block for as long as they compute.
class RewardEnsemble {
 public:
  // Every option of `model` is set and within its range (run.proto); no `hidden`: a
  // linear reward. With `learn_reliability` labelers have reliabilities once two or more
  // of them have labels; they stay at their priors unless labels are held out.
  // INVALID_ARGUMENT: a size is not positive, or an option is missing.
  static absl::StatusOr<std::unique_ptr<RewardEnsemble>> Create(const v1::RewardModel& model,
                                                                bool learn_reliability,
                                                                uint64_t seed, int observation_size,
                                                                int action_size);
  ~RewardEnsemble();

  int members() const;
  // Comparisons, more than one for a ranking.
  int64_t labels() const;

  // Takes in a label. All clips have as many steps as the first label's.
  // INVALID_ARGUMENT otherwise, and for a clip of other sizes or a value that is not
  // finite; nothing is changed then.
  absl::Status AddLabel(const experience::Comparison& label);

  // How often a labeler's answers to pairs with a known answer were right and
  // wrong, for the prior. Taken into account by the next look at reliabilities.
  void SetGold(int labeler, int64_t right, int64_t wrong);

  // As they were last looked at, by labeler; empty while reliabilities are not learned.
  std::vector<Reliability> Reliabilities() const;

  // Updates since the ensemble was begun.
  int64_t updates() const;

  // `updates` steps on minibatches; 0: only looks at losses. FAILED_PRECONDITION when there
  // is no label. The draws depend on the seed and on the number of
  // updates before: Train(a), Train(b) is Train(a + b).
  absl::StatusOr<RewardTrainingStats> Train(int64_t updates);

  // Takes the clips' observations into the input normaliser, clip by clip. Feed it every
  // candidate once.
  absl::Status AddCandidates(const std::vector<experience::ClipPointer>& clips);

  // Fixes each member's mean and deviation as those of its rewards of these clips, best
  // the newest candidates. Before the first call they are 0 and 1.
  absl::Status NormalizeMembers(const std::vector<experience::ClipPointer>& clips);

  // Rewards [steps] of observations [steps, o] and actions [steps, a], as ToSnapshot()
  // would give them (common/nn/reward.h).
  absl::StatusOr<std::vector<float>> Score(const std::vector<float>& observations,
                                           const std::vector<float>& actions) const;

  // Members' own returns [clips][members] of clips of equal length, not
  // normalised: what the preference probability is made of.
  absl::StatusOr<std::vector<std::vector<double>>> ClipReturns(
      const std::vector<experience::ClipPointer>& clips) const;

  // The reward for publishing.
  nn::Snapshot ToSnapshot() const;

  // Weights, moments, penalties, normalisers and reliabilities, without the labels and gold:
  // add those again, in any order of ordinals that was used before, then load. `updates`:
  // of the saved ensemble.
  nn::Snapshot SaveState() const;
  absl::Status LoadState(const nn::Snapshot& state, int64_t updates);

 private:
  struct Impl;
  explicit RewardEnsemble(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_REWARD_ENSEMBLE_H_
