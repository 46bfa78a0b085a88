// What somebody typed, as a command to run.
#ifndef BACKFLIP_CLI_COMMAND_LINE_H_
#define BACKFLIP_CLI_COMMAND_LINE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/command.h"

namespace backflip::cli {

struct CommandLine {
  // Of the commands given, with its flags set; null where help is asked for.
  const Command* command = nullptr;
  // `words`: what follows the command's name; of help, what it is asked about. No `shutdown`.
  Call call;
};

// A command's flags come after its name, among its words; those of the stack stand anywhere, and
// begin as `environment` has them by their names (base::FlagsOfEnvironment).
// --name value, --name=value or --name, with - or _ inside a name; nothing after "--" is a flag.
// `arguments` are without the program's name. INVALID_ARGUMENT: no such command, or a flag that the
// command does not take, with the nearest name that there is; a value that the flag does not take;
// words or flags that are missing, or too many words.
absl::StatusOr<CommandLine> ParseCommandLine(
    const std::vector<Command>& commands, const std::vector<std::string>& arguments,
    const std::map<std::string, std::string>& environment = {});

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_COMMAND_LINE_H_
