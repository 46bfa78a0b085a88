#include "common/base/program.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/version.h"

extern char** environ;

namespace backflip::base {
namespace {

constexpr int kWrongConfig = 2;

// What was asked for instead of the program's work.
[[noreturn]] void Say(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::exit(EXIT_SUCCESS);
}

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

std::string& Config() {
  static std::string* const config = new std::string();
  return *config;
}

}  // namespace

const std::string& ProgramConfig() { return Config(); }

std::vector<absl::string_view> InitProgram(int argc, char** argv, absl::string_view service,
                                           absl::string_view usage) {
  InitLogging(service);
  const absl::StatusOr<ParsedFlags> parsed = ParseFlags({argv + 1, argv + argc}, environ);
  if (!parsed.ok()) {
    LogError(parsed.status().message());
    std::exit(kWrongConfig);
  }
  if (parsed->help) Say(absl::StrCat(usage, "\n\n", FlagsHelp()));
  if (parsed->version) Say(VersionText());
  Config() = ConfigText(parsed->sources);
  if (parsed->print_config) Say(Config());
  const std::vector<std::string> broken = BrokenRules();
  for (const std::string& sentence : broken) LogError(sentence);
  if (!broken.empty()) std::exit(kWrongConfig);
  if (parsed->check_config) Say("the configuration is good\n");
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // a peer that went away is an error of the write, not of the process
  std::signal(SIGPIPE, SIG_IGN);
  return parsed->words;
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
