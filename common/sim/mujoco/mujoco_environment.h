// One simulated environment of a task.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_ENVIRONMENT_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_ENVIRONMENT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/sim/expression.h"
#include "common/sim/metrics.h"
#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/mujoco/mujoco_task.h"

namespace backflip::sim {

// Everything that the next steps of an environment depend on: from equal states
// and actions, any environment of the task goes on with equal bits. Holds nothing
// of true rewards or metrics, so that it may pass through a learner.
struct EnvironmentState {
  std::vector<double> physics;  // MuJoCo's integration state
  int32_t episode_step = 0;     // steps since the episode began
  std::vector<float> noise;     // [action_size], exploration noise
  uint64_t rng_seed = 0;
  uint64_t rng_counter = 0;  // draws made

  bool operator==(const EnvironmentState&) const = default;
};

// Not thread-safe: one thread at a time. Call Begin or Restore first.
class Environment {
 public:
  static absl::StatusOr<std::unique_ptr<Environment>> Create(
      std::shared_ptr<const CompiledTask> task);

  const CompiledTask& task() const { return *task_; }

  // Training begins a share of its episodes at the task's exploring starts.
  enum class Purpose { kTraining, kEvaluation };
  // Starts the generator at `seed`, and an episode.
  absl::Status Begin(uint64_t seed, Purpose purpose);
  // Starts the next episode with the generator as it stands. Draws the start,
  // the reset noise and the exploration noise's first value.
  absl::Status BeginEpisode(Purpose purpose);
  // InvalidArgument when the state is of another task. Metrics begin anew.
  absl::Status Restore(const EnvironmentState& state);
  EnvironmentState Save() const;

  // One control step with action [action_size], clipped to [-1, 1]. An error
  // names the quantity, reward or metric that is not a finite number.
  absl::Status Step(const float* action);

  // [observation_size] of the moment.
  void Observe(float* observation) const;
  // [state_size] of the moment, for clips.
  void RecordState(double* state) const;
  int episode_step() const { return episode_step_; }
  // MuJoCo found the last step's physics unstable and reset it: the episode
  // must end here.
  bool diverged() const { return diverged_; }

  // Of the last step; 0 where the task has none.
  double true_reward() const { return true_reward_; }
  // Each metric since the episode (or the restored state) began.
  std::vector<double> Metrics() const;
  double quantity(int index) const { return values_[index]; }

  // Standard normal draws from the environment's generator.
  void DrawNormals(absl::Span<float> normals);
  // Uniform draws in [-1, 1].
  void DrawUniforms(absl::Span<float> uniforms);
  // [action_size]; standard normal when an episode begins.
  float* noise() { return noise_.data(); }

 private:
  explicit Environment(std::shared_ptr<const CompiledTask> task);
  uint64_t Draw();
  double DrawUniform(double bound);
  // Brings derived values and quantities up to date with the state.
  absl::Status Refresh();
  double Quantity(const QuantitySource& source, int expression) const;
  double Action(int actuator) const;
  bool Touching(const QuantitySource& source) const;

  const std::shared_ptr<const CompiledTask> task_;
  const mjModel* const model_;
  DataPtr data_;
  std::vector<double> control_middle_, control_half_;  // [action_size]
  std::vector<double> warmstart_;                      // scratch, [nv]

  std::vector<double> values_;                      // of the quantities
  std::vector<Expression> expressions_;             // of the quantities that are one
  std::vector<Expression> true_reward_expression_;  // at most one
  std::vector<MetricAccumulator> metrics_;

  int32_t episode_step_ = 0;
  bool diverged_ = false;
  double true_reward_ = 0;
  std::vector<float> noise_;
  uint64_t rng_seed_ = 0, rng_counter_ = 0;
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_ENVIRONMENT_H_
