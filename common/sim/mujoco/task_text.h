// The task file that `task new` writes, and what its reader should know of the model.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_TASK_TEXT_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_TASK_TEXT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/mujoco/robot.h"
#include "common/sim/mujoco/trial.h"

namespace backflip::sim {

// Times of a new task for a model: steps of about 12.5 ms, episodes of 5 s, and evaluations of
// twice that as far as one of them can be sent.
struct NewTaskTimes {
  explicit NewTaskTimes(const mjModel* model);
  int frame_skip;
  double step_seconds;
  int episode_steps, evaluation_steps;
};

// Whether a task file can hold the name, which must be UTF-8.
bool IsUtf8(absl::string_view text);

// `name` is the task's, `model_file` the model's path below the task's folder.
std::string NewTaskText(const mjModel* model, const std::string& name,
                        const std::string& model_file, const Robot& robot, const Trial& trial);

// Sentences on what will be odd about the model: what an action means to controls without a range,
// activations, no floor, groups, how the trial ended.
std::vector<std::string> RemarksOn(const mjModel* model, const Robot& robot, const Trial& trial);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_TASK_TEXT_H_
