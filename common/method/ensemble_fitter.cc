#include "common/method/ensemble_fitter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::method {
namespace {

// The newest candidates that members are normalised on: some thousand steps
// are enough for a mean and a deviation.
constexpr size_t kNormalizationClips = 128;

std::set<int64_t> LabelsOf(const std::vector<Comparison>& comparisons) {
  std::set<int64_t> labels;
  for (const Comparison& comparison : comparisons) labels.insert(comparison.label_id);
  return labels;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EnsembleFitter>> EnsembleFitter::Create(const FitterConfig& config) {
  std::unique_ptr<EnsembleFitter> fitter(new EnsembleFitter(config));
  RETURN_IF_ERROR(fitter->Begin());
  return fitter;
}

absl::Status EnsembleFitter::Begin() {
  ASSIGN_OR_RETURN(ensemble_, learn::RewardEnsemble::Create(
                                  config_.ensemble, config_.observation_size, config_.action_size));
  label_ids_.clear();
  updates_ = 0;
  return absl::OkStatus();
}

absl::Status EnsembleFitter::AddCandidates(const std::vector<ClipPointer>& candidates) {
  for (const ClipPointer& clip : candidates) {
    RETURN_IF_ERROR(ensemble_->AddObservations(clip->observations));
  }
  return absl::OkStatus();
}

absl::Status EnsembleFitter::AddNewLabels(const std::vector<Comparison>& comparisons) {
  std::set<int64_t> added;  // a ranking is one label of several comparisons
  for (const Comparison& comparison : comparisons) {
    if (label_ids_.count(comparison.label_id) > 0) continue;
    added.insert(comparison.label_id);
    learn::Label label;
    label.ordinal = comparison.ordinal;
    label.left = *comparison.first;
    label.right = *comparison.second;
    label.left_preferred = comparison.first_preferred;
    label.labeler = comparison.labeler;
    RETURN_IF_ERROR(ensemble_->AddLabel(label));
  }
  label_ids_.merge(added);
  return absl::OkStatus();
}

bool EnsembleFitter::FittedTo(const std::vector<Comparison>& comparisons) const {
  return LabelsOf(comparisons) == label_ids_;
}

absl::StatusOr<learn::RewardTrainingStats> EnsembleFitter::Fit(
    const std::vector<Comparison>& comparisons, const std::vector<ClipPointer>& candidates,
    const std::function<bool()>& stop) {
  const std::set<int64_t> standing = LabelsOf(comparisons);
  const int64_t labels = static_cast<int64_t>(standing.size());
  const int64_t for_labels =
      config_.initial_updates * std::max<int64_t>(1, labels / config_.initial_labels);
  const int64_t first = labels > config_.first_round_labels ? for_labels : config_.initial_updates;
  int64_t wanted = fitted() ? updates_ + config_.updates_per_round : first;
  if (!std::includes(standing.begin(), standing.end(), label_ids_.begin(), label_ids_.end())) {
    wanted = std::min(wanted, for_labels);
    RETURN_IF_ERROR(Begin());
    RETURN_IF_ERROR(AddCandidates(candidates));
  }
  RETURN_IF_ERROR(AddNewLabels(comparisons));
  for (const auto& [labeler, score] : gold_) ensemble_->SetGold(labeler, score.right, score.wrong);
  absl::StatusOr<learn::RewardTrainingStats> stats;
  int updates;
  do {
    if (stop && stop()) return absl::CancelledError("stopped while fitting the ensemble");
    updates = fitted() ? config_.updates_per_round : config_.initial_updates;
    stats = ensemble_->Train(updates);
    if (!stats.ok()) break;
    updates_ += updates;
  } while (updates_ < wanted && updates > 0);
  RETURN_IF_ERROR(NormalizeMembers(candidates));
  return stats;
}

absl::Status EnsembleFitter::NormalizeMembers(const std::vector<ClipPointer>& candidates) {
  if (candidates.empty()) return absl::OkStatus();
  std::vector<float> observations, actions;
  const size_t first = candidates.size() - std::min(candidates.size(), kNormalizationClips);
  for (size_t i = first; i < candidates.size(); ++i) {
    const learn::Clip& clip = *candidates[i];
    observations.insert(observations.end(), clip.observations.begin(), clip.observations.end());
    actions.insert(actions.end(), clip.actions.begin(), clip.actions.end());
  }
  return ensemble_->NormalizeMembers(observations, actions);
}

absl::Status EnsembleFitter::Load(const nn::Snapshot& state, int64_t updates,
                                  const std::vector<Comparison>& comparisons) {
  RETURN_IF_ERROR(Begin());
  RETURN_IF_ERROR(AddNewLabels(comparisons));
  RETURN_IF_ERROR(ensemble_->LoadState(state));
  updates_ = updates;
  return absl::OkStatus();
}

}  // namespace backflip::method
