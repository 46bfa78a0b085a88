#include "common/method/pace.h"

#include <algorithm>
#include <cmath>

#include "common/method/rounds.h"

namespace backflip::method {
namespace {

// The first batch that the policy learns from.
int64_t FirstLearned(const v1::RunSpec& spec) {
  if (spec.reward() == v1::TRUE) return 0;
  // without lockstep the last initial batch waits for the first ensemble
  return spec.lockstep() ? InitialBatches(spec) : InitialBatches(spec) - 1;
}

}  // namespace

int64_t Batches(const v1::RunSpec& spec) {
  const int64_t batch = spec.collection().batch_steps();
  return (spec.steps() + batch - 1) / batch;
}

int32_t EpisodeSteps(const v1::RunSpec& spec, const v1::TaskInfo& task, int64_t batch) {
  const int64_t last = Batches(spec) - 1;
  const int64_t final_steps = task.episode_steps();
  if (last <= 0) return final_steps;
  const int64_t share = std::llround(spec.collection().initial_episode_share() * final_steps);
  const int64_t initial = std::min(final_steps, std::max<int64_t>(share, task.clip_steps()));
  return static_cast<int32_t>(initial + (final_steps - initial) * std::min(batch, last) / last);
}

bool LearnsFrom(const v1::RunSpec& spec, int64_t batch) { return batch >= FirstLearned(spec); }

double Progress(const v1::RunSpec& spec, int64_t batch) {
  const int64_t improvements = batch - FirstLearned(spec);
  return std::min(1.0, static_cast<double>(improvements) / Batches(spec));
}

double DeviationBonus(const v1::RunSpec& spec, int64_t batch) {
  const double first = spec.reward_model().deviation_bonus();
  return first + Progress(spec, batch) * (spec.reward_model().final_deviation_bonus() - first);
}

int64_t LabelsWantedAt(const v1::RunSpec& spec, int64_t steps) {
  const double all = spec.labels();
  const double first = std::max(1.0, std::floor(spec.queries().initial_share() * all));
  const double end = spec.queries().asked_by() * spec.steps();
  double share = std::min(1.0, steps / end);
  if (spec.queries().schedule() == v1::ANNEALED) {
    constexpr double kPaperSteps = 2e6;
    share = std::min(1.0, std::log1p(steps / kPaperSteps) / std::log1p(end / kPaperSteps));
  }
  // the last label must not be lost to rounding
  int64_t wanted = std::floor(first + (all - first) * share + 1e-6);
  if (!spec.lockstep() && spec.steps_per_label() > 0) {
    const double even = static_cast<double>(steps) / spec.steps_per_label();
    const double warm_up = spec.warm_up_labels();
    int64_t least = std::floor(even < warm_up ? std::sqrt(even * warm_up) : even);
    while (StepsAllowedBy(spec, least) < steps) ++least;
    wanted = std::max(wanted, least);
  }
  return std::min<int64_t>(spec.labels(), wanted);
}

int64_t FirstLabels(const v1::RunSpec& spec) {
  return std::min(spec.queries().first_labels(), spec.labels());
}

int64_t StepsAllowedBy(const v1::RunSpec& spec, int64_t labels) {
  const double even = static_cast<double>(labels) * spec.steps_per_label();
  return labels < spec.warm_up_labels() ? even * labels / spec.warm_up_labels() : even;
}

bool PacedByLabels(const v1::RunSpec& spec) {
  return spec.reward() == v1::PREFERENCES && !spec.lockstep() && spec.steps_per_label() > 0;
}

bool WaitsForLabels(const v1::RunSpec& spec, int64_t steps, int64_t labels) {
  return PacedByLabels(spec) && labels < spec.labels() && steps > StepsAllowedBy(spec, labels);
}

int64_t BatchesOnceStopped(const v1::RunSpec& spec, int64_t labels, int64_t batch) {
  if (!PacedByLabels(spec)) return Batches(spec);
  const int64_t earned = labels * spec.steps_per_label() / spec.collection().batch_steps();
  return std::min(Batches(spec), std::max(batch + 1, earned));
}

}  // namespace backflip::method
