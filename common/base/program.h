// What every program does first and last: flags, --help, logs, signals.
#ifndef BACKFLIP_COMMON_BASE_PROGRAM_H_
#define BACKFLIP_COMMON_BASE_PROGRAM_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/mutex.h"

namespace backflip::base {

// Sets the flags (flags.h), answers --help with `usage` and all of them, --version, --print_config
// and --check_config, starts logging, and blocks SIGINT and SIGTERM in this thread and all that it
// starts, so that only a ShutdownSignal receives them. Ends the program with 2 where flags or the
// environment are wrong. Call it first in main. Returns the arguments that are no flags, without
// the program's name.
std::vector<absl::string_view> InitProgram(int argc, char** argv, absl::string_view service,
                                           absl::string_view usage);

// What --print_config prints of this process. Empty before InitProgram. Thread-safe after it.
const std::string& ProgramConfig();

// Waits for the wish to end, from SIGTERM, SIGINT or Request(). Thread-safe.
class ShutdownSignal {
 public:
  ShutdownSignal();
  ~ShutdownSignal();
  ShutdownSignal(const ShutdownSignal&) = delete;
  ShutdownSignal& operator=(const ShutdownSignal&) = delete;

  // Blocks until the end is wished for.
  void Wait();
  // As if a signal had come.
  void Request();
  bool Requested();

 private:
  int event_fd_;
  int signal_fd_;
};

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_PROGRAM_H_
