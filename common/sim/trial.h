// A task that came from somebody, tried out in a process that may die of it.
#ifndef BACKFLIP_COMMON_SIM_TRIAL_H_
#define BACKFLIP_COMMON_SIM_TRIAL_H_

#include <string>

#include "absl/status/status.h"
#include "common/sim/task.h"

namespace backflip::sim {

// Loads the task in `folder`, or of a bundle's bytes, and simulates it for 100 steps under random
// actions, in the program task-trial, which lies beside this one: it has 60 s, 4 GiB and no
// files to write. Blocks. Errors are those of loading and simulating; FAILED_PRECONDITION, with
// its last words, when the process died or took too long.
absl::Status TryTaskFolder(const std::string& folder);
absl::Status TryTaskBundle(const std::string& bytes);

// Added to the code of an error (absl::StatusCode): how task-trial ends, its sentence written.
inline constexpr int kTrialFailed = 64;

// What task-trial does with a task once it is loaded, in this process: 100 steps. An error names
// the reward, quantity or metric that is no number, or has MuJoCo's words. Of a task that diverges
// it tries up to ten episodes: FAILED_PRECONDITION where none of them lasts a clip's length.
absl::Status DryRun(const Task& task);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_TRIAL_H_
