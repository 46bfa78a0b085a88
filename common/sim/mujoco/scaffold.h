// A first task for somebody's own model.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_SCAFFOLD_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_SCAFFOLD_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/sim/task.h"

namespace backflip::sim {

struct NewTask {
  std::shared_ptr<const Task> task;
  // What will be odd about it, a sentence each.
  std::vector<std::string> remarks;
  // Of an episode of random actions, as far as it went: [moments, state_size].
  std::vector<double> states;
};

// Makes the task folder `folder` from the MJCF or URDF file at `model_path`: copies the model and
// every file that it names, below the nearest folder that holds them all, and writes a
// task.textproto with working defaults and comments on what to change. Loads and simulates it
// before it returns; on an error, nothing is left behind. Tells `progress` what it begins.
// AlreadyExists when `folder` is there. NotFound, InvalidArgument: the model.
absl::StatusOr<NewTask> ScaffoldTask(const std::string& model_path, const std::string& folder,
                                     const std::function<void(absl::string_view)>& progress);

// Where ScaffoldTask writes before `folder` is complete.
std::string DraftOf(const std::string& folder);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_SCAFFOLD_H_
