// The named numbers of a task: how each kind is found in the model, and how it is
// computed. A new kind is a message in task.proto and a function in quantities.cc.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_QUANTITIES_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_QUANTITIES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/task.pb.h"
#include "common/sim/expression.h"
#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/task_file.h"

namespace backflip::sim {

// One environment at one moment, as quantities are computed from it.
struct Moment {
  const mjModel* model;
  mjData* data;                   // only latches and rates write to it: their user data
  const double* values;           // of the quantities before this one
  const double* before;           // of all, a moment ago; null unless a step led here
  const Expression* expressions;  // of the quantities that are one
};

// The quantities of a task in its order, bound to its model. Immutable once
// resolved: all environments of the task share them.
struct Quantities {
  // InvalidArgument "file:line: field: reason"; `at` is the task's. A latch or a rate
  // adds a number to the user data of `model`, which MuJoCo's states carry.
  static absl::StatusOr<Quantities> Resolve(const v1::Task& task, const Located& at,
                                            mjModel* model);

  // Index of the quantity `name`; an error is at `field` of `at` (`index` counts
  // within a repeated field).
  absl::StatusOr<int> Find(const std::string& name, const Located& at, absl::string_view field,
                           int index = -1) const;

  std::vector<std::string> names;
  std::vector<std::function<double(const Moment&)>> read;
  // Texts of those that are expressions. Each environment compiles its own.
  std::vector<std::string> expressions;
  // What MuJoCo must derive from a state before they can be read.
  bool needs_positions = false;
  bool needs_velocities = false;
  bool needs_centre_velocities = false;
  bool needs_contacts = false;
  bool needs_everything = false;  // sensors, forces
};

// The quantities' values in one environment. Not thread-safe.
class QuantityValues {
 public:
  // Both must outlive it.
  static absl::StatusOr<QuantityValues> Create(const Quantities& quantities, const mjModel* model);

  // Brings derived values of `data` and the quantities up to date with its state.
  // `after_step`: a control step led here from the last Update's moment. Remembers in
  // `data` what latches and rates remember. OutOfRange names a quantity that is not
  // finite, and `step`.
  absl::Status Update(bool after_step, int step, mjData* data);

  // [quantities]; stays in its place, for expressions that are bound to it.
  double* values() { return values_.data(); }
  double operator[](int index) const { return values_[index]; }

 private:
  // Brings what MuJoCo derives, as far as quantities need it, to the moment. Only calls MuJoCo.
  void Derive(mjData* data);
  QuantityValues(const Quantities& quantities, const mjModel* model);

  const Quantities* quantities_;
  const mjModel* model_;
  std::vector<double> values_, before_;
  std::vector<Expression> expressions_;
  std::vector<double> warmstart_;  // scratch, [nv]
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_QUANTITIES_H_
