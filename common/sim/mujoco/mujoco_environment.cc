#include "common/sim/mujoco/mujoco_environment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/mujoco_errors.h"

namespace backflip::sim {

absl::StatusOr<std::unique_ptr<Environment>> MujocoEnvironment::Create(const MujocoTask& task) {
  mjData* made = nullptr;
  RETURN_IF_ERROR(CatchMujocoErrors([&] { made = mj_makeData(task.model()); }));
  DataPtr data(made);
  if (data == nullptr) {
    return absl::FailedPreconditionError("this machine has too little memory for a simulation");
  }
  ASSIGN_OR_RETURN(QuantityValues quantities,
                   QuantityValues::Create(task.quantities(), task.model()));
  auto result = std::unique_ptr<MujocoEnvironment>(
      new MujocoEnvironment(task, std::move(data), std::move(quantities)));
  const auto& names = task.quantities().names;
  double* const values = result->quantities_.values();
  if (task.has_true_reward()) {
    ASSIGN_OR_RETURN(Expression reward,
                     Expression::Compile(task.task().true_reward(), names, values));
    result->true_reward_.push_back(std::move(reward));
  }
  for (const auto& metric : task.task().metric()) {
    ASSIGN_OR_RETURN(MetricAccumulator accumulator,
                     MetricAccumulator::Create(metric, names, values));
    result->metrics_.push_back(std::move(accumulator));
  }
  return result;
}

MujocoEnvironment::MujocoEnvironment(const MujocoTask& task, DataPtr data,
                                     QuantityValues quantities)
    : Environment(task.action_size()),
      task_(task),
      model_(task.model()),
      data_(std::move(data)),
      quantities_(std::move(quantities)) {
  for (int i = 0; i < model_->nu; ++i) controls_.push_back(ControlRangeOf(model_, i));
}

absl::Status MujocoEnvironment::ResetPhysics(Purpose purpose) {
  if (task_.keyframe() >= 0) {
    mj_resetDataKeyframe(model_, data_.get(), task_.keyframe());
  } else {
    mj_resetData(model_, data_.get());
    for (int i = 0; i < model_->nu; ++i) data_->ctrl[i] = controls_[i].middle;
  }
  const v1::Reset& reset = task_.task().reset();
  for (int i = 0; i < model_->nq; ++i) data_->qpos[i] += DrawUniform(reset.qpos_noise());
  for (int i = 0; i < model_->nv; ++i) data_->qvel[i] += DrawUniform(reset.qvel_noise());
  mj_normalizeQuat(model_, data_->qpos);
  // tasks without exploring starts draw nothing here: their seeds keep their episodes
  const double share = reset.exploring_starts().share();
  if (purpose == Purpose::kTraining && share > 0 && base::UnitInterval(Draw()) < share) {
    DrawExploringStart();
  }
  return BeginMetrics();
}

void MujocoEnvironment::DrawExploringStart() {
  const auto draw = [this](const v1::Interval& interval) {
    return interval.from() + (interval.to() - interval.from()) * base::UnitInterval(Draw());
  };
  const v1::ExploringStarts& starts = task_.task().reset().exploring_starts();
  for (int i = 0; i < starts.joint_size(); ++i) {
    const v1::JointStart& start = starts.joint(i);
    const auto [qpos, qvel] = task_.exploring_joints()[i];
    if (start.has_position()) data_->qpos[qpos] = draw(start.position());
    if (start.has_velocity()) data_->qvel[qvel] = draw(start.velocity());
  }
}

absl::Status MujocoEnvironment::BeginMetrics() {
  RETURN_IF_ERROR(quantities_.Update(data_.get(), episode_step()));
  for (MetricAccumulator& metric : metrics_) metric.Begin();
  return absl::OkStatus();
}

absl::Status MujocoEnvironment::RestorePhysics(const std::vector<double>& physics) {
  RETURN_IF_ERROR(
      CheckStateSize("physics", physics.size(), mj_stateSize(model_, mjSTATE_INTEGRATION)));
  mj_resetData(model_, data_.get());
  mj_setState(model_, data_.get(), physics.data(), mjSTATE_INTEGRATION);
  return BeginMetrics();
}

std::vector<double> MujocoEnvironment::SavePhysics() const {
  std::vector<double> physics(mj_stateSize(model_, mjSTATE_INTEGRATION));
  mj_getState(model_, data_.get(), physics.data(), mjSTATE_INTEGRATION);
  return physics;
}

absl::StatusOr<StepResult> MujocoEnvironment::Advance(const float* action) {
  mjData* d = data_.get();
  for (int i = 0; i < model_->nu; ++i) {
    const double clipped = std::clamp(static_cast<double>(action[i]), -1.0, 1.0);
    d->ctrl[i] = controls_[i].middle + controls_[i].half * clipped;
  }
  const int substeps = task_.task().frame_skip();
  const absl::Status stepped = CatchMujocoErrors([&] {
    for (int i = 0; i < substeps; ++i) mj_step(model_, d);
  });
  if (!stepped.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(stepped.message(), ", at step ", episode_step()));
  }
  StepResult result;
  if (d->warning[mjWARN_BADQPOS].number > 0 || d->warning[mjWARN_BADQVEL].number > 0 ||
      d->warning[mjWARN_BADQACC].number > 0) {
    result.end = experience::End::kDiverged;
  }
  RETURN_IF_ERROR(quantities_.Update(d, episode_step()));
  if (!true_reward_.empty()) {
    result.true_reward = true_reward_[0].Evaluate();
    if (!std::isfinite(result.true_reward)) {
      return absl::OutOfRangeError(absl::StrCat("true_reward, ", task_.task().true_reward(),
                                                ", is ", result.true_reward, " after step ",
                                                episode_step()));
    }
  }
  for (size_t i = 0; i < metrics_.size(); ++i) {
    metrics_[i].Step();
    if (!std::isfinite(metrics_[i].value())) {
      return absl::OutOfRangeError(absl::StrCat("metric \"", task_.task().metric(i).name(),
                                                "\" is ", metrics_[i].value(), " after step ",
                                                episode_step()));
    }
  }
  return result;
}

void MujocoEnvironment::Observe(float* observation) const {
  const mjData* d = data_.get();
  for (const ObservationTerm& term : task_.observation_terms()) {
    double value = 0;
    switch (term.kind) {
      case ObservationTerm::kQpos:
        value = d->qpos[term.index];
        break;
      case ObservationTerm::kSine:
        value = std::sin(d->qpos[term.index]);
        break;
      case ObservationTerm::kCosine:
        value = std::cos(d->qpos[term.index]);
        break;
      case ObservationTerm::kQvel:
        value = d->qvel[term.index];
        break;
      case ObservationTerm::kQuantity:
        value = quantities_[term.index];
        break;
    }
    *observation++ = static_cast<float>(std::clamp(value, -term.clip, term.clip));
  }
}

void MujocoEnvironment::RecordState(double* state) const {
  mj_getState(model_, data_.get(), state, mjSTATE_FULLPHYSICS);
}

std::vector<double> MujocoEnvironment::Metrics() const {
  std::vector<double> values;
  for (const MetricAccumulator& metric : metrics_) values.push_back(metric.value());
  return values;
}

}  // namespace backflip::sim
