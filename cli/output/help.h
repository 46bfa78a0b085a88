// What `backflip --help` and `backflip COMMAND --help` print.
#ifndef BACKFLIP_CLI_OUTPUT_HELP_H_
#define BACKFLIP_CLI_OUTPUT_HELP_H_

#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace backflip::cli {

// The lines of `usage` about `command`, and the flags that it takes; `usage`
// itself where it has no such command. A line about a command is indented by
// two spaces and begins with it. `flags` are names and descriptions; one begins
// with the commands that take it ("train, run: ", "labels import, retract: ",
// "train --human: "), else all do.
std::string HelpText(absl::string_view usage, const std::map<std::string, std::string>& flags,
                     absl::string_view command);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_HELP_H_
