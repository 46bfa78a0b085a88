// A model under random actions: how it holds, and what a camera must show.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_TRIAL_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_TRIAL_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/mujoco/robot.h"

namespace backflip::sim {

struct Trial {
  std::vector<double> states;  // [moments, size of mjSTATE_FULLPHYSICS], the start first
  std::vector<RobotView>
      views;  // of some of the moments, the start first, aimed at the robot's root
  std::vector<std::vector<Point>> places;  // [views][nbody] where bodies are then
  int diverged = 0;                        // the step that MuJoCo found unstable; 0: none
  bool dropped_contacts = false;
};

// One episode of at most `steps` control steps of `frame_skip` physics steps each, from the first
// keyframe, if it has a name, or the model's own pose, with actions drawn uniformly from the whole
// range of each control. Ends before a step that diverges, and after `limit` of this machine's
// time. The same draws every time. FAILED_PRECONDITION where MuJoCo has no memory to go on with.
absl::StatusOr<Trial> TryRandomActions(const mjModel* model, const Robot& robot, int frame_skip,
                                       int steps, absl::Duration limit);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_TRIAL_H_
