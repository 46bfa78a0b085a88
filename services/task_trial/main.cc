// task-trial FOLDER, or task-trial - with a bundle as its input.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/sim/task.h"
#include "common/sim/trial.h"

#if defined(__SANITIZE_ADDRESS__)
// The sanitizer's shadow is larger than any limit of address space. A single allocation is bounded
// instead, so that what a model may ask for does not depend on how the kernel overcommits memory.
extern "C" const char* __asan_default_options() {
  return "max_allocation_size_mb=4096:allocator_may_return_null=1";
}
#endif

namespace backflip::task_trial {
namespace {

void Limit(__rlimit_resource_t resource, rlim_t most) {
  const rlimit limit{most, most};
  setrlimit(resource, &limit);
}

// The model is a stranger's: neither time, memory nor disk is its own.
void LimitThisProcess() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_CPU, 60);         // seconds
  Limit(RLIMIT_FSIZE, 1 << 20);  // what it says goes to a file
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  Limit(RLIMIT_AS, rlim_t{4} << 30);
#endif
}

absl::Status Try(const std::string& argument) {
  std::shared_ptr<const sim::Task> task;
  if (argument == "-") {
    ASSIGN_OR_RETURN(task, sim::Task::FromBundle({std::istreambuf_iterator<char>(std::cin), {}}));
  } else {
    ASSIGN_OR_RETURN(task, sim::Task::FromFolder(argument));
  }
  return sim::DryRun(*task);
}

}  // namespace
}  // namespace backflip::task_trial

int main(int argc, char** argv) {
  using namespace backflip;
  if (argc == 2 && std::string(argv[1]) == "--version") {
    std::fputs(base::VersionText().c_str(), stdout);
    return 0;
  }
  if (argc != 2) {
    std::fputs("task-trial FOLDER: loads a task and simulates 100 steps of it\n", stderr);
    return 2;
  }
  task_trial::LimitThisProcess();
  const absl::Status status = task_trial::Try(argv[1]);
  if (status.ok()) return 0;
  std::fputs(std::string(status.message()).c_str(), stdout);
  return sim::kTrialFailed + status.raw_code();
}
