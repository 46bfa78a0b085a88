// A task bound to its MuJoCo model: everything about it that does not change while
// it is simulated.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_TASK_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_TASK_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/sim/bundle.h"
#include "common/sim/mujoco/contacts.h"
#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/mujoco/quantities.h"
#include "common/sim/task.h"
#include "common/sim/task_file.h"

namespace backflip::sim {

// One number of an observation.
struct ObservationTerm {
  enum Kind { kQpos, kSine, kCosine, kUp, kQvel, kBodyVelocity, kAct, kQuantity, kUserData };
  Kind kind;
  int index;            // of kBodyVelocity: where the linear velocity begins in qvel
  double clip;          // infinite: none
  int axis = 0;         // of the body, for kUp and kBodyVelocity
  int orientation = 0;  // where their free joint's quaternion begins in qpos
};

// Where a joint's numbers are.
struct JointIndex {
  int qpos, qvel;
};

// Actions are mapped to each actuator's control range (they are the control where
// an actuator has none). A recorded moment is MuJoCo's mjSTATE_FULLPHYSICS.
class MujocoTask final : public Task {
 public:
  // `shown_file` is the task file's name in errors: InvalidArgument "file:line:
  // field: reason".
  static absl::StatusOr<std::shared_ptr<const Task>> Compile(Bundle bundle,
                                                             const std::string& shown_file);
  // The ModelReader of these tasks.
  static absl::Status ReadModel(const std::string& path, const FileReader& reader);
  // Unimplemented, with the task's name, where MuJoCo does not simulate it.
  static absl::StatusOr<const MujocoTask*> Of(const Task& task);

  double step_seconds() const override { return model_->opt.timestep * task_.frame_skip(); }
  int state_size() const override { return mj_stateSize(model(), mjSTATE_FULLPHYSICS); }
  // All but the world.
  int bodies() const override { return model_->nbody - 1; }
  absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment() const override;
  std::vector<float> BodyPoses(absl::Span<const double> states) const override;

  // For the rest of this folder.
  const mjModel* model() const { return model_.get(); }
  const std::vector<ObservationTerm>& observation_terms() const { return observation_terms_; }
  const Quantities& quantities() const { return quantities_; }
  // Body that the camera follows; 0: the world, which stands still.
  int tracked_body() const { return tracked_body_; }
  // -1: the model's own pose.
  int keyframe() const { return keyframe_; }
  // Null unless they are observed.
  const std::optional<Contacts>& contacts() const { return contacts_; }
  // Of reset.joint and reset.exploring_starts.joint, in their order.
  const std::vector<JointIndex>& reset_joints() const { return reset_joints_; }
  const std::vector<JointIndex>& exploring_joints() const { return exploring_joints_; }

 private:
  MujocoTask() = default;
  absl::Status ResolveReset(const Located& at);
  // Finds the `joint` of `at`.
  absl::StatusOr<std::vector<JointIndex>> ResolveJoints(
      const google::protobuf::RepeatedPtrField<v1::JointStart>& joints, const Located& at) const;
  absl::Status ResolveObservation(const Located& at);
  absl::Status ResolveCamera(const Located& at);
  absl::Status CheckExpressions(const Located& at) const;
  std::string Fingerprint(const v1::TaskBundle& files) const;

  ModelPtr model_;
  std::vector<ObservationTerm> observation_terms_;
  Quantities quantities_;
  int tracked_body_ = 1;
  int keyframe_ = -1;
  std::optional<Contacts> contacts_;
  std::vector<JointIndex> reset_joints_, exploring_joints_;
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_TASK_H_
