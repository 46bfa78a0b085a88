#include "common/method/ensemble_fitter.h"

#include <algorithm>
#include <utility>

#include "common/base/draws.h"
#include "common/base/status_macros.h"
#include "common/method/pace.h"
#include "common/method/rounds.h"

namespace backflip::method {
namespace {

using experience::ClipPointer;
using experience::Comparison;

// The newest candidates that members are normalised on: some thousand steps
// are enough for a mean and a deviation.
constexpr size_t kNormalizationClips = 128;

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
  updates_ = 0;
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

bool EnsembleFitter::BeginsAgainFor(const std::vector<Comparison>& comparisons) const {
  const std::set<int64_t> valid = LabelsOf(comparisons);
  return !std::includes(valid.begin(), valid.end(), label_ids_.begin(), label_ids_.end());
}

absl::StatusOr<learn::RewardTrainingStats> EnsembleFitter::Fit(
    const std::vector<Comparison>& comparisons, const std::vector<ClipPointer>& candidates,
    const std::function<bool()>& stop) {
  const v1::RewardModel& model = spec_.reward_model();
  const int64_t labels = static_cast<int64_t>(LabelsOf(comparisons).size());
  const int64_t for_labels =
      model.initial_updates() * std::max<int64_t>(1, labels / LabelsWantedAt(spec_, 0));
  // the most that the first round asks; its last question may give some more
  const int64_t first_round_labels = LabelsWantedIn(spec_, 0) + spec_.queries().overlap();
  const int64_t first = labels > first_round_labels ? for_labels : model.initial_updates();
  int64_t wanted = fitted() ? updates_ + model.updates_per_round() : first;
  if (BeginsAgainFor(comparisons)) {
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
    updates = fitted() ? model.updates_per_round() : model.initial_updates();
    stats = ensemble_->Train(updates);
    if (!stats.ok()) break;
    updates_ += updates;
  } while (updates_ < wanted && updates > 0);
  RETURN_IF_ERROR(NormalizeMembers(candidates));
  return stats;
}

absl::Status EnsembleFitter::NormalizeMembers(const std::vector<ClipPointer>& candidates) {
  if (candidates.empty()) return absl::OkStatus();
  const size_t count = std::min(candidates.size(), kNormalizationClips);
  return ensemble_->NormalizeMembers({candidates.end() - count, candidates.end()});
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
