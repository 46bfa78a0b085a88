// One service of the local stack: a process that is started again when it
// crashes.
#ifndef BACKFLIP_CLI_LAUNCHER_SERVICE_PROCESS_H_
#define BACKFLIP_CLI_LAUNCHER_SERVICE_PROCESS_H_

#include <sys/types.h>

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/launcher/subprocess.h"
#include "common/base/mutex.h"

namespace backflip::cli {

// Thread-safe. The process dies with ours, however ours ends.
class ServiceProcess {
 public:
  // More crashes than this within a minute are a failure.
  static constexpr int kCrashesAMinute = 5;

  // Starts it. Its output is appended to process.log_file.
  ServiceProcess(std::string name, Process process);
  // Stop(0).
  ~ServiceProcess();
  ServiceProcess(const ServiceProcess&) = delete;
  ServiceProcess& operator=(const ServiceProcess&) = delete;

  const std::string& name() const { return name_; }

  // Asks it to drain (SIGTERM), and starts it no more. Never blocks.
  void Drain();
  // Drain, then waits until it has ended, at most `grace`, and kills it after.
  void Stop(absl::Duration grace);

  // OK, or why it was given up: it crashed too often.
  absl::Status failure() const;
  // Sentences about crashes since the last call.
  std::vector<std::string> TakeEvents();

 private:
  void Supervise();

  const std::string name_;
  const Process process_;
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  pid_t pid_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> events_ ABSL_GUARDED_BY(mutex_);
  // Last, so that it starts when everything else is there. Lives as long as the
  // process: a process dies with the thread that spawned it.
  std::thread supervisor_;
};

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_LAUNCHER_SERVICE_PROCESS_H_
