// The command line of Backflip.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/output/help.h"
#include "common/base/flags.h"
#include "common/base/program.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

absl::Status Main(const std::vector<std::string>& arguments) {
  const std::vector<Command> commands = Commands();
  std::vector<std::string> names;
  for (const Flag& flag : StackFlags().Flags()) names.push_back(flag.name);
  ASSIGN_OR_RETURN(const auto environment, base::FlagsOfEnvironment(names, environ));
  ASSIGN_OR_RETURN(CommandLine line, ParseCommandLine(commands, arguments, environment));
  if (line.command == nullptr) {
    std::fputs(HelpText(commands, line.call.words).c_str(), stdout);
    return absl::OkStatus();
  }
  base::ShutdownSignal shutdown;
  line.call.shutdown = &shutdown;
  return line.command->run(line.call);
}

}  // namespace
}  // namespace backflip::cli

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  // flags belong to commands; the program itself has --version
  const bool version = arguments.size() == 1 && arguments[0] == "--version";
  backflip::base::InitProgram(version ? 2 : 1, argv, "backflip", "");
  const absl::Status status = backflip::cli::Main(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "backflip: %s\n", std::string(status.message()).c_str());
  // as a shell reports Ctrl-C
  return absl::IsCancelled(status) ? 130 : EXIT_FAILURE;
}
