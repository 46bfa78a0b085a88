// One environment of a task, simulated by MuJoCo.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_ENVIRONMENT_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_ENVIRONMENT_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/sim/environment.h"
#include "common/sim/expression.h"
#include "common/sim/metrics.h"
#include "common/sim/mujoco/elements.h"
#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/mujoco/mujoco_task.h"
#include "common/sim/mujoco/quantities.h"

namespace backflip::sim {

// A step whose physics MuJoCo found unstable, and reset, has diverged.
class MujocoEnvironment final : public Environment {
 public:
  // The task must outlive it.
  static absl::StatusOr<std::unique_ptr<Environment>> Create(const MujocoTask& task);

  void Observe(float* observation) const override;
  void RecordState(double* state) const override;
  std::vector<double> Metrics() const override;
  absl::StatusOr<ClipTruth> TruthOf(absl::Span<const double> states,
                                    absl::Span<const float> actions) override;

 private:
  MujocoEnvironment(const MujocoTask& task, DataPtr data, QuantityValues quantities);
  absl::Status ResetPhysics(Purpose purpose) override;
  absl::Status RestorePhysics(const std::vector<double>& physics) override;
  absl::Status RestoreMoment(const std::vector<double>& moment) override;
  std::vector<double> SavePhysics() const override;
  absl::StatusOr<StepResult> Advance(const float* action) override;
  // The start without noise.
  void ResetToStart();
  // Moves the joints; `indices` are theirs.
  void DrawJoints(const google::protobuf::RepeatedPtrField<v1::JointStart>& starts,
                  const std::vector<JointIndex>& indices);
  void SetControls(const float* action);
  // Derives what depends on the state. `after_step` as for QuantityValues::Update.
  absl::Status Derive(bool after_step, int step);
  // The state is another episode's: derives what depends on it.
  absl::Status BeginMetrics();
  // Derives what depends on the state after step `step`, with the metrics, and returns
  // the true reward.
  absl::StatusOr<double> Measure(int step);

  const MujocoTask& task_;
  const mjModel* const model_;
  const DataPtr data_;
  std::vector<ControlRange> controls_;  // [action_size]
  QuantityValues quantities_;
  std::vector<Expression> true_reward_;  // at most one
  std::vector<MetricAccumulator> metrics_;
  std::vector<double> metric_values_;  // [metrics], for the rubric
  std::vector<Expression> criteria_;   // over metric_values_
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_ENVIRONMENT_H_
