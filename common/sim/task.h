// A task that is ready to be simulated, whatever simulates it.
#ifndef BACKFLIP_COMMON_SIM_TASK_H_
#define BACKFLIP_COMMON_SIM_TASK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backflip/v1/task.pb.h"
#include "common/sim/bundle.h"
#include "common/sim/environment.h"

namespace backflip::sim {

// What a policy sees before each action.
struct ObservationSpace {
  enum class Kind { kNumbers };  // images would be another
  Kind kind = Kind::kNumbers;
  int size = 0;  // numbers
};

// What a policy does at each step.
struct ActionSpace {
  enum class Kind { kBox };  // a choice among some would be another
  Kind kind = Kind::kBox;
  int size = 0;  // numbers in [-1, 1]; those outside are clipped
};

// Immutable, hence safe to share among threads.
class Task {
 public:
  // From a bundle's bytes. InvalidArgument "file:line: field: reason".
  static absl::StatusOr<std::shared_ptr<const Task>> FromBundle(const std::string& bytes);
  // From a folder on disk: packs it first. Errors name the file in `folder`.
  static absl::StatusOr<std::shared_ptr<const Task>> FromFolder(const std::string& folder);

  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  // As written, with what it leaves to defaults filled in: evaluation_steps,
  // clip.playback_fps and the camera's fields.
  const v1::Task& task() const { return task_; }
  const std::string& name() const { return task_.name(); }
  bool has_true_reward() const { return !task_.true_reward().empty(); }
  std::vector<std::string> metric_names() const;

  const Bundle& bundle() const { return bundle_; }
  // SHA-256 (hex) over everything that a rollout depends on, the simulator's
  // version included.
  const std::string& fingerprint() const { return fingerprint_; }

  const ObservationSpace& observation() const { return observation_; }
  const ActionSpace& action() const { return action_; }
  int observation_size() const { return observation_.size; }
  int action_size() const { return action_.size; }

  // Simulated seconds of a control step.
  virtual double step_seconds() const = 0;
  // Doubles of a recorded moment.
  virtual int state_size() const = 0;
  // Bodies whose poses show a moment.
  virtual int bodies() const = 0;

  // A new environment, which the task must outlive.
  virtual absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment() const = 0;
  // Recorded states [moments, state_size] as poses [moments, bodies, 7]: position
  // x y z in metres, then orientation as a quaternion w x y z, in world
  // coordinates.
  virtual std::vector<float> BodyPoses(absl::Span<const double> states) const = 0;

 protected:
  Task() = default;

  v1::Task task_;
  Bundle bundle_;
  std::string fingerprint_;
  ObservationSpace observation_;
  ActionSpace action_;
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_TASK_H_
