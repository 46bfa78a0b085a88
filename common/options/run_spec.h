// What a RunSpec may be: built-in defaults, layers, ranges.
#ifndef BACKFLIP_COMMON_OPTIONS_RUN_SPEC_H_
#define BACKFLIP_COMMON_OPTIONS_RUN_SPEC_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"

namespace backflip::options {

// Every field set that has a default: the options of the paper wherever it names them
// (docs/architecture.md lists the rest).
v1::RunSpec DefaultRunSpec();

// `layer` over `base`: a field set in `layer` wins; `hidden` is replaced, not
// appended to.
v1::RunSpec Overlay(const v1::RunSpec& base, const v1::RunSpec& layer);

// INVALID_ARGUMENT names the field, its value and the allowed range. Expects
// every field to be set that DefaultRunSpec sets.
absl::Status ValidateRunSpec(const v1::RunSpec& spec);

// Whether a valid `spec` can be run on `task`. INVALID_ARGUMENT: its first episodes are
// shorter than a clip or longer than the task's. FAILED_PRECONDITION: it learns from the
// true reward, and the task has none.
absl::Status CheckFitsTask(const v1::RunSpec& spec, const v1::TaskInfo& task);

// From a text file in protobuf text format; the error names file, line and
// field.
absl::StatusOr<v1::RunSpec> ReadRunSpecFile(const std::string& path);

}  // namespace backflip::options

#endif  // BACKFLIP_COMMON_OPTIONS_RUN_SPEC_H_
