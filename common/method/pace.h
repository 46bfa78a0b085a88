// The pace of a run: how its batches, episodes, steps and labels keep up with each other.
//
// Functions of a RunSpec in which every option that has a default is set. Batches and
// iterations count from 0; steps are control steps of all environments together.
#ifndef BACKFLIP_COMMON_METHOD_PACE_H_
#define BACKFLIP_COMMON_METHOD_PACE_H_

#include <cstdint>

#include "backflip/v1/run.pb.h"

namespace backflip::method {

// How many batches give at least the run's steps. No more are collected.
int64_t Batches(const v1::RunSpec& spec);

// Steps of a training episode in `batch`: from collection.initial_episode_share of the task's, at
// least a clip's, in the first batch they grow linearly to the task's in the last one.
int32_t EpisodeSteps(const v1::RunSpec& spec, const v1::TaskInfo& task, int64_t batch);

// Whether the policy learns from `batch`. There is no ensemble yet for the initial ones
// (rounds.h), which only give clips to ask about.
bool LearnsFrom(const v1::RunSpec& spec, int64_t batch);

// The share of the run's policy improvements that come before that of `batch`, from which the
// policy learns: [0, 1].
double Progress(const v1::RunSpec& spec, int64_t batch);

// How many standard deviations of the members' rewards are added to their mean where the policy
// learns from `batch`: from reward_model.deviation_bonus linearly to final_deviation_bonus.
double DeviationBonus(const v1::RunSpec& spec, int64_t batch);

// ---- Labels for steps.

// Labels wanted once `steps` steps are complete, by the spec's schedule:
//   N0 + (N - N0) * f(T), f = ln(1 + T/2e6) / ln(1 + E/2e6) for ANNEALED
// (the integral of the paper's rate), T/E for UNIFORM, capped at N, where E = asked_by *
// steps. N0 = initial_share * N, at least 1. With lockstep off, at least as many as `steps`
// requires (StepsAllowedBy); otherwise the learner would wait for labels that were never
// requested. Monotone in `steps`.
int64_t LabelsWantedAt(const v1::RunSpec& spec, int64_t steps);

// With lockstep off: labels before the first ensemble.
int64_t FirstLabels(const v1::RunSpec& spec);

// ---- Steps for labels: with lockstep off and steps_per_label given.

// How many steps the learner may train to with `labels` labels: labels * steps_per_label,
// below warm_up_labels times labels / warm_up_labels. Monotone in `labels`.
int64_t StepsAllowedBy(const v1::RunSpec& spec, int64_t labels);

// Whether the learner waits for labels, rather than labels for the learner.
bool PacedByLabels(const v1::RunSpec& spec);

// Whether a learner that has trained `steps` steps waits for more than `labels` labels.
bool WaitsForLabels(const v1::RunSpec& spec, int64_t steps, int64_t labels);

// How many batches a run has whose asking was stopped at `labels` labels while `batch` was
// collected: those that its labels have earned, and at least the one in hand.
int64_t BatchesOnceStopped(const v1::RunSpec& spec, int64_t labels, int64_t batch);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_PACE_H_
