// Elements of a MuJoCo model, found by the names that a task file gives them.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_ELEMENTS_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_ELEMENTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/task_file.h"

namespace backflip::sim {

// Index of the element `name`. An error is at `field` of `at` (`index` counts
// within a repeated field), and lists the names that there are.
absl::StatusOr<int> FindElement(const mjModel* model, mjtObj type, const std::string& name,
                                const Located& at, absl::string_view field, int index = -1);

// The same for a joint that must be a hinge or a slide.
absl::StatusOr<int> FindScalarJoint(const mjModel* model, const std::string& name,
                                    const Located& at, absl::string_view field, int index = -1);

// How an action in [-1, 1] becomes a control: middle + half * action.
struct ControlRange {
  double middle, half;
};
// Whether a control has a range, and not one whose ends MuJoCo takes for no numbers (mjMAXVAL).
// `control` counts the model's controls (nu), of which an actuator takes one, several or none.
bool HasControlRange(const mjModel* model, int control);
// The control's own range; 0 and 1 where it has none.
ControlRange ControlRangeOf(const mjModel* model, int control);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_ELEMENTS_H_
