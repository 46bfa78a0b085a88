#include "common/method/ensemble_fitter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/draws.h"
#include "common/base/status_macros.h"

namespace backflip::method {
namespace {

using experience::ClipPointer;
using experience::Comparison;

// The newest candidates that members are normalised on: some thousand steps
// are enough for a mean and a deviation.
constexpr size_t kNormalizationClips = 128;

// Updates between two looks at whether to stop.
constexpr int64_t kUpdatesAtOnce = 150;

std::set<int64_t> LabelsOf(const std::vector<Comparison>& comparisons) {
  std::set<int64_t> labels;
  for (const Comparison& comparison : comparisons) labels.insert(comparison.label_id);
  return labels;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EnsembleFitter>> EnsembleFitter::Create(const v1::RunSpec& spec,
                                                                       int observation_size,
                                                                       int action_size) {
  std::unique_ptr<EnsembleFitter> fitter(new EnsembleFitter(spec, observation_size, action_size));
  RETURN_IF_ERROR(fitter->Begin());
  return fitter;
}

absl::Status EnsembleFitter::Begin() {
  ASSIGN_OR_RETURN(ensemble_, learn::RewardEnsemble::Create(
                                  spec_.reward_model(), spec_.quality().learn_reliability(),
                                  base::SeedOf(spec_.seed(), base::Draw::kEnsemble),
                                  observation_size_, action_size_));
  label_ids_.clear();
  idle_updates_ = 0;
  return absl::OkStatus();
}

absl::Status EnsembleFitter::AddNewLabels(const std::vector<Comparison>& comparisons) {
  std::set<int64_t> added;  // a ranking is one label of several comparisons
  for (const Comparison& comparison : comparisons) {
    if (label_ids_.count(comparison.label_id) > 0) continue;
    added.insert(comparison.label_id);
    RETURN_IF_ERROR(ensemble_->AddLabel(comparison));
  }
  label_ids_.merge(added);
  return absl::OkStatus();
}

bool EnsembleFitter::FittedTo(const std::vector<Comparison>& comparisons) const {
  return LabelsOf(comparisons) == label_ids_;
}

int64_t EnsembleFitter::UpdatesFor(size_t labels) const {
  const double updates = spec_.reward_model().updates_per_label() * static_cast<double>(labels);
  // what is whole must not be lost to rounding
  return std::max<int64_t>(1, std::floor(updates + 1e-6));
}

int64_t EnsembleFitter::UpdatesDue(const std::set<int64_t>& valid, int64_t batches) {
  if (!fitted()) return UpdatesFor(valid.size());
  if (valid.size() > label_ids_.size()) idle_updates_ = 0;
  const int64_t for_labels = UpdatesFor(valid.size()) - UpdatesFor(label_ids_.size());
  const int64_t for_batches =
      std::clamp<int64_t>(batches * spec_.reward_model().updates_per_batch(), 0,
                          std::max<int64_t>(0, UpdatesFor(valid.size()) - idle_updates_));
  idle_updates_ += for_batches;
  return for_labels + for_batches;
}

bool EnsembleFitter::BeginsAgainFor(const std::vector<Comparison>& comparisons) const {
  const std::set<int64_t> valid = LabelsOf(comparisons);
  return !std::includes(valid.begin(), valid.end(), label_ids_.begin(), label_ids_.end());
}

absl::StatusOr<learn::RewardTrainingStats> EnsembleFitter::Fit(
    const std::vector<Comparison>& comparisons, int64_t batches,
    const std::vector<ClipPointer>& candidates, const std::function<bool()>& stop) {
  const std::set<int64_t> valid = LabelsOf(comparisons);
  int64_t due;
  if (!BeginsAgainFor(comparisons)) {
    due = UpdatesDue(valid, batches);
  } else {
    due = std::min(updates(), UpdatesFor(valid.size()));
    RETURN_IF_ERROR(Begin());
    new_candidates_ = candidates;
  }
  RETURN_IF_ERROR(AddNewLabels(comparisons));
  for (const auto& [labeler, score] : gold_) ensemble_->SetGold(labeler, score.right, score.wrong);
  if (due > 0) RETURN_IF_ERROR(ensemble_->AddCandidates(new_candidates_));
  new_candidates_.clear();
  absl::StatusOr<learn::RewardTrainingStats> stats;
  do {
    if (stop && stop()) return absl::CancelledError("stopped while fitting the ensemble");
    const int64_t updates = std::min(due, kUpdatesAtOnce);
    stats = ensemble_->Train(updates);
    due -= updates;
  } while (stats.ok() && due > 0);
  RETURN_IF_ERROR(NormalizeMembers(candidates));
  return stats;
}

absl::Status EnsembleFitter::NormalizeMembers(const std::vector<ClipPointer>& candidates) {
  if (candidates.empty()) return absl::OkStatus();
  const size_t count = std::min(candidates.size(), kNormalizationClips);
  return ensemble_->NormalizeMembers({candidates.end() - count, candidates.end()});
}

absl::Status EnsembleFitter::Load(const nn::Snapshot& state, int64_t updates, int64_t idle_updates,
                                  const std::vector<Comparison>& comparisons) {
  RETURN_IF_ERROR(Begin());
  RETURN_IF_ERROR(AddNewLabels(comparisons));
  RETURN_IF_ERROR(ensemble_->LoadState(state, updates));
  idle_updates_ = idle_updates;
  return absl::OkStatus();
}

}  // namespace backflip::method
