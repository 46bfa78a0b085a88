#include "common/base/program.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/version.h"

namespace backflip::base {
namespace {

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

std::vector<absl::string_view> InitProgram(int argc, char** argv, absl::string_view service,
                                           absl::string_view usage) {
  absl::SetProgramUsageMessage(usage);
  absl::FlagsUsageConfig config;
  // the flags of a program and those that every daemon has, not those of libraries
  config.contains_help_flags = [](absl::string_view file) {
    return absl::EndsWith(file, "main.cc") || absl::EndsWith(file, "rpc/daemon.cc");
  };
  config.version_string = VersionText;
  absl::SetFlagsUsageConfig(config);
  // --token-file and --token_file alike
  for (int i = 1; i < argc && std::strcmp(argv[i], "--") != 0; ++i) {
    if (std::strncmp(argv[i], "--", 2) != 0) continue;
    for (char* c = argv[i] + 2; *c != 0 && *c != '='; ++c) {
      if (*c == '-') *c = '_';
    }
  }
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  InitLogging(service);
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // a peer that went away is an error of the write, not of the process
  std::signal(SIGPIPE, SIG_IGN);
  return {rest.begin() + 1, rest.end()};
}

ShutdownSignal::ShutdownSignal() {
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

ShutdownSignal::~ShutdownSignal() {
  close(event_fd_);
  close(signal_fd_);
}

void ShutdownSignal::Wait() {
  pollfd fds[] = {{event_fd_, POLLIN, 0}, {signal_fd_, POLLIN, 0}};
  while (poll(fds, 2, -1) <= 0) {
  }
  // stays readable, for every other waiter
  Request();
}

void ShutdownSignal::Request() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event_fd_, &one, sizeof(one));
}

bool ShutdownSignal::Requested() {
  pollfd fds[] = {{event_fd_, POLLIN, 0}, {signal_fd_, POLLIN, 0}};
  return poll(fds, 2, 0) > 0;
}

}  // namespace backflip::base
