// backflip help spec. (main.cc answers `help` and --help from the table of commands.)
#include "common/options/help.h"

#include <cstdio>

#include "cli/command.h"

namespace backflip::cli {
namespace {

absl::Status PrintOptions(const Call&) {
  std::fputs(options::OptionsHelp().c_str(), stdout);
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kRuns, "help spec", "every option of a RunSpec, with its default and range",
     PrintOptions},
};

}  // namespace
}  // namespace backflip::cli
