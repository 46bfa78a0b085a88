// The options of a RunSpec as proto/backflip/v1/run.proto declares them: names, defaults, ranges.
#ifndef BACKFLIP_COMMON_OPTIONS_OPTION_H_
#define BACKFLIP_COMMON_OPTIONS_OPTION_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backflip/v1/options.pb.h"
#include "backflip/v1/run.pb.h"

namespace backflip::options {

struct Option {
  // From the top of the spec: "labels", "ppo.discount".
  std::string name;
  // The fields that lead from the spec to the message that holds the option.
  std::vector<const google::protobuf::FieldDescriptor*> parents;
  const google::protobuf::FieldDescriptor* field;

  const v1::OptionRules& rules() const { return field->options().GetExtension(v1::rules); }
};

// All of them, in the order of run.proto. Thread-safe.
const std::vector<Option>& Options();

// Sets the option to its default, if it has one.
void SetDefault(const Option& option, v1::RunSpec* spec);

// The values that are allowed: "1 to 4096", "more than 0 and less than 1", "ANNEALED, UNIFORM".
// Empty: any value.
std::string Allowed(const Option& option);

// INVALID_ARGUMENT names the option, its value in `spec` and what is allowed.
absl::Status CheckOption(const Option& option, const v1::RunSpec& spec);

}  // namespace backflip::options

#endif  // BACKFLIP_COMMON_OPTIONS_OPTION_H_
