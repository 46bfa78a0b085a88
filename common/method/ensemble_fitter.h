// Keeps the reward ensemble fitted to the labels that are valid: those not superseded.
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
#include "backflip/v1/run.pb.h"
#include "common/experience/clip.h"
#include "common/learn/reward/ensemble.h"
#include "common/method/label_book.h"

namespace backflip::method {

// Not thread-safe. Calls block for as long as they compute.
class EnsembleFitter {
 public:
  // For a run with these options, all of which are set. INVALID_ARGUMENT: a size is not
  // positive.
  static absl::StatusOr<std::unique_ptr<EnsembleFitter>> Create(const v1::RunSpec& spec,
                                                                int observation_size,
                                                                int action_size);

  // Candidates for the input normaliser: each candidate once. They are taken into it by the
  // next fit, if that makes updates: a normaliser that moves while the networks rest would
  // change the reward by itself.
  void AddCandidates(const std::vector<experience::ClipPointer>& candidates) {
    new_candidates_.insert(new_candidates_.end(), candidates.begin(), candidates.end());
  }

  // The labelers' scores on pairs with a known answer; for the fits that follow.
  void SetGold(std::map<int, GoldScore> gold) { gold_ = std::move(gold); }

  // Trains on `comparisons`: updates_per_label updates for each label that is new, and
  // updates_per_batch for each of `batches` new batches once it was fitted before. The latter
  // end when as many came since the newest label as all labels together are worth; a fit may
  // then make none.
  // If a comparison that was fitted before is not among them, its label was taken back:
  // the ensemble then begins anew, with `candidates` for its normaliser, and is fitted to
  // `comparisons` as if it had begun with them, with at most as many updates as it had.
  // Afterwards the members are normalised on the newest of `candidates`, which come in order.
  //
  // FAILED_PRECONDITION: no labels. CANCELLED: `stop` answered true, half-way through. Comparisons
  // keep their order from call to call, with new ones anywhere.
  absl::StatusOr<learn::RewardTrainingStats> Fit(
      const std::vector<experience::Comparison>& comparisons, int64_t batches,
      const std::vector<experience::ClipPointer>& candidates, const std::function<bool()>& stop);

  // Whether the ensemble has taken in exactly these.
  bool FittedTo(const std::vector<experience::Comparison>& comparisons) const;
  // Whether a label that it has taken in is not among these, so that a fit begins anew.
  bool BeginsAgainFor(const std::vector<experience::Comparison>& comparisons) const;
  // Whether it was ever trained.
  bool fitted() const { return updates() > 0; }
  // Since the ensemble was begun.
  int64_t updates() const { return ensemble_->updates(); }
  // Of them, those for batches since the newest label.
  int64_t idle_updates() const { return idle_updates_; }
  // Labels in the ensemble.
  int64_t labels() const { return static_cast<int64_t>(label_ids_.size()); }
  const learn::RewardEnsemble& ensemble() const { return *ensemble_; }
  // The ensemble for a selector: null until it was trained. It is the fitter's, and
  // replaced when Fit begins anew.
  const learn::RewardEnsemble* trained_ensemble() const {
    return fitted() ? ensemble_.get() : nullptr;
  }

  // `state` of an ensemble that was fitted to `comparisons`, by so many updates.
  absl::Status Load(const nn::Snapshot& state, int64_t updates, int64_t idle_updates,
                    const std::vector<experience::Comparison>& comparisons);

 private:
  EnsembleFitter(const v1::RunSpec& spec, int observation_size, int action_size)
      : spec_(spec), observation_size_(observation_size), action_size_(action_size) {}

  absl::Status Begin();
  // What a first fit to so many labels makes.
  int64_t UpdatesFor(size_t labels) const;
  // Updates that are due now, before `valid` labels are taken in.
  int64_t UpdatesDue(const std::set<int64_t>& valid, int64_t batches);
  absl::Status AddNewLabels(const std::vector<experience::Comparison>& comparisons);
  absl::Status NormalizeMembers(const std::vector<experience::ClipPointer>& candidates);

  const v1::RunSpec spec_;
  const int observation_size_;
  const int action_size_;
  std::unique_ptr<learn::RewardEnsemble> ensemble_;
  std::set<int64_t> label_ids_;
  std::map<int, GoldScore> gold_;
  int64_t idle_updates_ = 0;
  std::vector<experience::ClipPointer> new_candidates_;
};

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_ENSEMBLE_FITTER_H_
