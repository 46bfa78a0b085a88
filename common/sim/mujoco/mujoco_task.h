// A task bound to its model: everything about it that does not change while it
// is simulated.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_TASK_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_TASK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backflip/v1/task.pb.h"
#include "common/sim/bundle.h"
#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/task_file.h"

namespace backflip::sim {

// How one quantity is computed.
struct QuantitySource {
  enum Kind {
    kBodyPosition,  // index: body, axis
    kBodyVelocity,  // index: body, axis: 0-2 angular, 3-5 linear
    kBodyUpright,   // index: body
    kQpos,          // index
    kQvel,          // index
    kSitePosition,  // index: site, axis
    kSensor,        // index in sensordata
    kContact,       // first, second: per geom
    kAction,        // index: actuator
    kPower,         // terms
    kExpression,    // text
    kLatch,         // index in userdata, which MuJoCo's states carry; set, reset
  };
  struct PowerTerm {
    int actuator;
    int dof;
  };

  Kind kind;
  int index = 0;
  int axis = 0;
  std::vector<char> first, second;
  std::vector<PowerTerm> terms;
  std::string text;
  int set = 0, reset = 0;  // quantities before this one
};

// What must be computed before quantities can be read.
struct Needs {
  bool positions = false;
  bool velocities = false;
  bool contacts = false;
  bool everything = false;  // sensors
};

// One number of an observation.
struct ObservationTerm {
  enum Kind { kQpos, kSine, kCosine, kQvel, kQuantity };
  Kind kind;
  int index;
  double clip;  // infinite: none
};

// Where a joint's numbers are.
struct JointIndex {
  int qpos, qvel;
};

// Immutable, hence safe to share among threads.
class CompiledTask {
 public:
  // From a bundle's bytes. InvalidArgument "file:line: field: reason".
  static absl::StatusOr<std::shared_ptr<const CompiledTask>> FromBundle(const std::string& bytes);
  // From a folder on disk: packs it first. Errors name the file in `folder`.
  static absl::StatusOr<std::shared_ptr<const CompiledTask>> FromFolder(const std::string& folder);

  // As written, with `evaluation_steps`, clip.playback_fps and the camera's
  // fields filled in.
  const v1::Task& task() const { return task_; }
  const std::string& name() const { return task_.name(); }
  const Bundle& bundle() const { return bundle_; }

  // SHA-256 (hex) over what a rollout depends on: the model's files, frame skip,
  // observation, reset, and MuJoCo's version.
  const std::string& fingerprint() const { return fingerprint_; }
  // SHA-256 (hex) over the rest of the task: texts, camera, clips, rewards,
  // metrics.
  const std::string& presentation_hash() const { return presentation_hash_; }

  int observation_size() const { return static_cast<int>(observation_terms_.size()); }
  // Actions are in [-1, 1], clipped, and mapped to each actuator's control
  // range (as they are where an actuator has none).
  int action_size() const { return model_->nu; }
  // Doubles of a recorded moment: mjSTATE_FULLPHYSICS.
  int state_size() const { return state_size_; }
  // Bodies but the world.
  int bodies() const { return model_->nbody - 1; }
  // Simulated seconds of a control step.
  double step_seconds() const { return model_->opt.timestep * task_.frame_skip(); }
  bool has_true_reward() const { return !task_.true_reward().empty(); }
  std::vector<std::string> metric_names() const;

  // For the rest of this folder.
  const mjModel* model() const { return model_.get(); }
  const std::vector<ObservationTerm>& observation_terms() const { return observation_terms_; }
  const std::vector<QuantitySource>& quantities() const { return quantities_; }
  const std::vector<std::string>& quantity_names() const { return quantity_names_; }
  const Needs& needs() const { return needs_; }
  // Body that the camera follows.
  int tracked_body() const { return tracked_body_; }
  // -1: the model's own pose.
  int keyframe() const { return keyframe_; }
  // Of reset.exploring_starts.joint, in its order.
  const std::vector<JointIndex>& exploring_joints() const { return exploring_joints_; }

 private:
  CompiledTask() = default;
  static absl::StatusOr<std::shared_ptr<const CompiledTask>> Compile(Bundle bundle,
                                                                     const std::string& shown_file);
  absl::Status ResolveReset(const Located& at);
  absl::Status ResolveQuantities(const Located& at);
  absl::Status ResolveObservation(const Located& at);
  absl::Status ResolveCamera(const Located& at);
  absl::Status CheckExpressions(const Located& at) const;
  void Hash(const v1::TaskBundle& files);

  v1::Task task_;
  Bundle bundle_;
  ModelPtr model_;
  std::string fingerprint_, presentation_hash_;
  std::vector<ObservationTerm> observation_terms_;
  std::vector<QuantitySource> quantities_;
  std::vector<std::string> quantity_names_;
  Needs needs_;
  int state_size_ = 0;
  int tracked_body_ = 1;
  int keyframe_ = -1;
  std::vector<JointIndex> exploring_joints_;
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_TASK_H_
