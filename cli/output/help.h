// What `backflip help`, `backflip help COMMAND` and `backflip COMMAND --help` print.
#ifndef BACKFLIP_CLI_OUTPUT_HELP_H_
#define BACKFLIP_CLI_OUTPUT_HELP_H_

#include <string>
#include <vector>

#include "cli/command.h"

namespace backflip::cli {

// The help of the command that `words` name; of each command whose name begins with them, where
// none is exactly that ("labels"); the list of commands where there is none of these either. Of
// flags it has the commands' own, and then once those of commands that talk to a stack. Lines of at
// most 100 characters.
std::string HelpText(const std::vector<Command>& commands, const std::vector<std::string>& words);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_HELP_H_
