// Keeps the reward ensemble fitted to the labels that stand.
#ifndef BACKFLIP_COMMON_METHOD_ENSEMBLE_FITTER_H_
#define BACKFLIP_COMMON_METHOD_ENSEMBLE_FITTER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/learn/reward/ensemble.h"
#include "common/method/label_book.h"

namespace backflip::method {

struct FitterConfig {
  learn::RewardEnsembleConfig ensemble;
  int observation_size = 0;
  int action_size = 0;
  int initial_updates = 150;
  int updates_per_round = 8;
  int64_t initial_labels = 225;  // how many labels initial_updates are meant for
  // The most labels that the first round has, unless the run began with others.
  int64_t first_round_labels = 225;
};

// Not thread-safe. Calls block for as long as they compute.
class EnsembleFitter {
 public:
  static absl::StatusOr<std::unique_ptr<EnsembleFitter>> Create(const FitterConfig& config);

  // Takes observations of candidates into the input normaliser: each candidate
  // once.
  absl::Status AddCandidates(const std::vector<ClipPointer>& candidates);

  // What each labeler's reliability is known to be before any comparison is
  // looked at; for the fits that follow.
  void SetGold(std::map<int, GoldScore> gold) { gold_ = std::move(gold); }

  // One round of training on `comparisons`: the first time `initial_updates`, or
  // as many for every `initial_labels` where a run began with another's labels;
  // `updates_per_round` afterwards.
  // What was fitted before and is not among them was taken back: then the ensemble
  // begins anew, with `candidates` for its normaliser, and is fitted to what stands
  // as if it had begun with it, with at most as many updates as there were before.
  // Afterwards the members are normalised on the newest of `candidates`, which come in order.
  //
  // FAILED_PRECONDITION: too few labels to train every member, which has
  // taken in those there are; CANCELLED: `stop` answered true, half-way
  // through. Comparisons keep their order from call to call, with new ones anywhere.
  absl::StatusOr<learn::RewardTrainingStats> Fit(const std::vector<Comparison>& comparisons,
                                                 const std::vector<ClipPointer>& candidates,
                                                 const std::function<bool()>& stop);

  // Whether the ensemble has taken in exactly these.
  bool FittedTo(const std::vector<Comparison>& comparisons) const;
  // Whether it was ever trained.
  bool fitted() const { return updates_ > 0; }
  // Since the ensemble was begun.
  int64_t updates() const { return updates_; }
  // Labels in the ensemble.
  int64_t labels() const { return static_cast<int64_t>(label_ids_.size()); }
  const learn::RewardEnsemble& ensemble() const { return *ensemble_; }

  // `state` of an ensemble that was fitted to `comparisons` by `updates`
  // updates.
  absl::Status Load(const nn::Snapshot& state, int64_t updates,
                    const std::vector<Comparison>& comparisons);

 private:
  explicit EnsembleFitter(const FitterConfig& config) : config_(config) {}

  absl::Status Begin();
  absl::Status AddNewLabels(const std::vector<Comparison>& comparisons);
  absl::Status NormalizeMembers(const std::vector<ClipPointer>& candidates);

  const FitterConfig config_;
  std::unique_ptr<learn::RewardEnsemble> ensemble_;
  std::set<int64_t> label_ids_;
  std::map<int, GoldScore> gold_;
  int64_t updates_ = 0;
};

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_ENSEMBLE_FITTER_H_
