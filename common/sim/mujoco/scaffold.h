// A first task for somebody's own model.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_SCAFFOLD_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_SCAFFOLD_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/sim/task.h"

namespace backflip::sim {

// Makes the task folder `folder` from the MJCF file at `model_path`: copies the
// model and every file that it names (all below the model's own folder), and
// writes a task.textproto with working defaults and comments on what to change.
// Loads and simulates it before it returns; on an error, nothing is left behind.
// AlreadyExists when `folder` is there. NotFound, InvalidArgument: the model.
absl::StatusOr<std::shared_ptr<const Task>> ScaffoldTask(const std::string& model_path,
                                                         const std::string& folder);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_SCAFFOLD_H_
