// What a RunSpec may be: built-in defaults, layers, ranges.
#ifndef BACKFLIP_COMMON_OPTIONS_RUN_SPEC_H_
#define BACKFLIP_COMMON_OPTIONS_RUN_SPEC_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"

namespace backflip::options {

// Every option that has a default (run.proto), set to it.
v1::RunSpec DefaultRunSpec();

// `layer` over `base`: a field set in `layer` wins; `hidden` is replaced, not appended to.
v1::RunSpec Overlay(const v1::RunSpec& base, const v1::RunSpec& layer);

// The spec of a new run, from its layers: built-in defaults, the task's `defaults`, with `people`
// the layer of runs that people answer, and the `request`. With `people`, steps_per_label is
// steps / labels, and warm_up_labels is `labels`, where neither the task nor the request sets
// them. INVALID_ARGUMENT as ValidateRunSpec.
absl::StatusOr<v1::RunSpec> ResolveRunSpec(const v1::RunSpec& task_defaults, bool people,
                                           const v1::RunSpec& request);

// The spec of a run as the broker stores it, from its serialised bytes. Options that the version
// which stored it did not have get their defaults.
v1::RunSpec StoredSpec(const std::string& bytes);

// INVALID_ARGUMENT names the option, its value and what is allowed. Expects every option to be
// set that DefaultRunSpec sets.
absl::Status ValidateRunSpec(const v1::RunSpec& spec);

// Whether a valid `spec` can be run on `task`. INVALID_ARGUMENT: its first episodes are
// shorter than a clip or longer than the task's. FAILED_PRECONDITION: it learns from the
// true reward, and the task has none.
absl::Status CheckFitsTask(const v1::RunSpec& spec, const v1::TaskInfo& task);

// From a text file in protobuf text format; the error names file, line and
// field.
absl::StatusOr<v1::RunSpec> ReadRunSpecFile(const std::string& path);

// Steps that so many labels let the learner go on to, with lockstep off and
// steps_per_label given: labels * steps_per_label, below warm_up_labels times
// labels / warm_up_labels. Monotone in `labels`.
int64_t StepsAllowedBy(const v1::RunSpec& spec, int64_t labels);

// Labels wanted once `steps` steps are complete, by the spec's schedule:
//   N0 + (N - N0) * f(T), f = ln(1 + T/2e6) / ln(1 + E/2e6) for ANNEALED
// (the integral of the paper's rate), T/E for UNIFORM, capped at N, where E =
// asked_by * steps. N0 = initial_share * N, at least 1. With lockstep off, never
// fewer than let the learner go on to `steps` (StepsAllowedBy): it would wait for
// answers that nobody was asked for. Monotone in `steps`.
int64_t LabelsWantedAt(const v1::RunSpec& spec, int64_t steps);

}  // namespace backflip::options

#endif  // BACKFLIP_COMMON_OPTIONS_RUN_SPEC_H_
