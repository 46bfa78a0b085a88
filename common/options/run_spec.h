// What a RunSpec may be: built-in defaults, layers, ranges.
#ifndef BACKFLIP_COMMON_OPTIONS_RUN_SPEC_H_
#define BACKFLIP_COMMON_OPTIONS_RUN_SPEC_H_

#include <google/protobuf/message.h>

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

// Whether a valid `spec` can be run on `task`. INVALID_ARGUMENT: an environment's steps of a
// batch are fewer than a clip's. FAILED_PRECONDITION: it learns from the true reward, and the task
// has none.
absl::Status CheckFitsTask(const v1::RunSpec& spec, const v1::TaskInfo& task);

// Reads a file in protobuf's text format. INVALID_ARGUMENT names file, line and field; NOT_FOUND:
// there is no such file.
absl::Status ReadTextFile(const std::string& path, google::protobuf::Message* message);
absl::StatusOr<v1::RunSpec> ReadRunSpecFile(const std::string& path);

}  // namespace backflip::options

#endif  // BACKFLIP_COMMON_OPTIONS_RUN_SPEC_H_
