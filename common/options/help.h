// What `backflip help spec` prints.
#ifndef BACKFLIP_COMMON_OPTIONS_HELP_H_
#define BACKFLIP_COMMON_OPTIONS_HELP_H_

#include <string>

namespace backflip::options {

// Every option of a RunSpec with its type, what is allowed, its default, and its comment in
// run.proto. Lines of at most 100 columns.
std::string OptionsHelp();

}  // namespace backflip::options

#endif  // BACKFLIP_COMMON_OPTIONS_HELP_H_
