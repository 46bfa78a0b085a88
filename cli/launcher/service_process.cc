#include "cli/launcher/service_process.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace backflip::cli {
namespace {

// Between a crash and the next start.
constexpr std::chrono::milliseconds kPause(500);

std::string HowItEnded(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) {
    return absl::StrCat("ended with code ", info.si_status);
  }
  return absl::StrCat("was killed by signal ", info.si_status);
}

}  // namespace

ServiceProcess::ServiceProcess(std::string name, Process process)
    : name_(std::move(name)),
      process_([&] {
        process.dies_with_parent = true;
        return std::move(process);
      }()),
      supervisor_([this] { Supervise(); }) {}

ServiceProcess::~ServiceProcess() {
  Stop(absl::ZeroDuration());
  supervisor_.join();
}

void ServiceProcess::Supervise() {
  std::deque<absl::Time> crashes;
  while (true) {
    pid_t pid = 0;
    {
      base::MutexLock lock(&mutex_);
      if (stopping_) break;
      absl::StatusOr<pid_t> spawned = Spawn(process_);
      if (!spawned.ok()) {
        failure_ = spawned.status();
        break;
      }
      pid = pid_ = *spawned;
    }
    // the process stays a zombie, so that its number is not reused while Drain or Stop may still
    // send it a signal
    siginfo_t info = {};
    while (waitid(P_PID, pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    base::MutexLock lock(&mutex_);
    pid_ = 0;
    waitpid(pid, nullptr, 0);
    if (stopping_) break;
    events_.push_back(absl::StrCat(name_, " ", HowItEnded(info),
                                   " and is started again; its log is ", process_.log_file));
    crashes.push_back(absl::Now());
    while (crashes.front() < absl::Now() - absl::Minutes(1)) crashes.pop_front();
    if (crashes.size() > kCrashesAMinute) {
      failure_ = absl::InternalError(
          absl::StrCat(name_, " ended ", crashes.size(), " times within a minute, last time it ",
                       HowItEnded(info), ". Its log says why: ", process_.log_file));
      break;
    }
    if (!stopping_) changed_.WaitFor(&mutex_, kPause);
  }
  base::MutexLock lock(&mutex_);
  ended_ = true;
  changed_.NotifyAll();
}

void ServiceProcess::Drain() {
  base::MutexLock lock(&mutex_);
  stopping_ = true;
  if (pid_ != 0) kill(pid_, SIGTERM);
  changed_.NotifyAll();
}

void ServiceProcess::Stop(absl::Duration grace) {
  Drain();
  const absl::Time deadline = absl::Now() + grace;
  base::MutexLock lock(&mutex_);
  while (!ended_) {
    const absl::Duration left = deadline - absl::Now();
    if (left > absl::ZeroDuration()) {
      changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(left));
    } else {
      if (pid_ != 0) kill(pid_, SIGKILL);
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(100));
    }
  }
}

absl::Status ServiceProcess::failure() const {
  base::MutexLock lock(&mutex_);
  return failure_;
}

std::vector<std::string> ServiceProcess::TakeEvents() {
  base::MutexLock lock(&mutex_);
  return std::exchange(events_, {});
}

}  // namespace backflip::cli
