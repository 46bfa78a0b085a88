// What touches the world, now and lately: what any robot can have observed, found in
// its model.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_CONTACTS_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_CONTACTS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/task_file.h"

namespace backflip::sim {

// Per geom: the body that it belongs to or is fixed to, where that moves and the geom can touch one
// that stands still; 0: it stands still itself; -1: neither.
std::vector<int> TouchingBodies(const mjModel* model);

// v1::ContactsTerm, bound to a model. Its numbers are in MuJoCo's user data, which the
// states that travel carry and a reset clears. Immutable once resolved.
class Contacts {
 public:
  // Adds its numbers to the user data of `model`. `step_seconds` of a control step.
  // InvalidArgument, at `contacts` of `at`, where nothing can touch the world.
  static absl::StatusOr<Contacts> Resolve(const Located& at, double step_seconds, mjModel* model);

  // Indices of its numbers in the user data, in the order of the observation.
  const std::vector<int>& memory() const { return memory_; }

  // Brings the numbers up to date with the contacts of `data`. `after_step`: the moment
  // is the next one, so that the traces follow.
  void Update(bool after_step, mjData* data) const;

 private:
  Contacts() = default;

  std::vector<int> contact_;  // per geom: index of its contact in the user data; -1: the
                              // world's, -2: neither
  std::vector<int> memory_;
  double short_share_ = 0, long_share_ = 0;  // of the new value in a trace, each step
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_CONTACTS_H_
