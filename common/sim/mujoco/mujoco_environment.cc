#include "common/sim/mujoco/mujoco_environment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/mujoco_errors.h"

namespace backflip::sim {

absl::StatusOr<std::unique_ptr<Environment>> MujocoEnvironment::Create(const MujocoTask& task) {
  ASSIGN_OR_RETURN(DataPtr data, MakeData(task.model()));
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
  result->metric_values_.resize(result->metrics_.size());
  for (const auto& criterion : task.task().rubric().criterion()) {
    ASSIGN_OR_RETURN(Expression value, Expression::Compile(criterion.value(), task.metric_names(),
                                                           result->metric_values_.data()));
    result->criteria_.push_back(std::move(value));
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

void MujocoEnvironment::ResetToStart() {
  if (task_.keyframe() >= 0) {
    mj_resetDataKeyframe(model_, data_.get(), task_.keyframe());
  } else {
    mj_resetData(model_, data_.get());
    for (int i = 0; i < model_->nu; ++i) data_->ctrl[i] = controls_[i].middle;
  }
}

absl::Status MujocoEnvironment::ResetPhysics(Purpose purpose) {
  ResetToStart();
  const v1::Reset& reset = task_.task().reset();
  for (int i = 0; i < model_->nq; ++i) data_->qpos[i] += DrawUniform(reset.qpos_noise());
  for (int i = 0; i < model_->nv; ++i) data_->qvel[i] += DrawUniform(reset.qvel_noise());
  mj_normalizeQuat(model_, data_->qpos);
  DrawJoints(reset.joint(), task_.reset_joints());
  // tasks without exploring starts draw nothing here: their seeds keep their episodes
  const double share = reset.exploring_starts().share();
  if (purpose == Purpose::kTraining && share > 0 && base::UnitInterval(Draw()) < share) {
    DrawJoints(reset.exploring_starts().joint(), task_.exploring_joints());
  }
  return BeginMetrics();
}

void MujocoEnvironment::DrawJoints(const google::protobuf::RepeatedPtrField<v1::JointStart>& starts,
                                   const std::vector<JointIndex>& indices) {
  const auto draw = [this](const v1::Interval& interval) {
    return interval.from() + (interval.to() - interval.from()) * base::UnitInterval(Draw());
  };
  for (int i = 0; i < starts.size(); ++i) {
    const auto [qpos, qvel] = indices[i];
    if (starts[i].has_position()) data_->qpos[qpos] = draw(starts[i].position());
    if (starts[i].has_velocity()) data_->qvel[qvel] = draw(starts[i].velocity());
  }
}

absl::Status MujocoEnvironment::Derive(bool after_step, int step) {
  RETURN_IF_ERROR(quantities_.Update(after_step, step, data_.get()));
  if (task_.contacts().has_value()) task_.contacts()->Update(after_step, data_.get());
  return absl::OkStatus();
}

absl::Status MujocoEnvironment::BeginMetrics() {
  RETURN_IF_ERROR(Derive(/*after_step=*/false, episode_step()));
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

absl::Status MujocoEnvironment::RestoreMoment(const std::vector<double>& moment) {
  RETURN_IF_ERROR(CheckStateSize("a recorded moment", moment.size(), task_.state_size()));
  ResetToStart();
  mj_setState(model_, data_.get(), moment.data(), mjSTATE_FULLPHYSICS);
  data_->time = 0;
  return BeginMetrics();
}

std::vector<double> MujocoEnvironment::SavePhysics() const {
  std::vector<double> physics(mj_stateSize(model_, mjSTATE_INTEGRATION));
  mj_getState(model_, data_.get(), physics.data(), mjSTATE_INTEGRATION);
  return physics;
}

void MujocoEnvironment::SetControls(const float* action) {
  for (int i = 0; i < model_->nu; ++i) {
    const double clipped = std::clamp(static_cast<double>(action[i]), -1.0, 1.0);
    data_->ctrl[i] = controls_[i].middle + controls_[i].half * clipped;
  }
}

absl::StatusOr<StepResult> MujocoEnvironment::Advance(const float* action) {
  mjData* d = data_.get();
  SetControls(action);
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
  ASSIGN_OR_RETURN(result.true_reward, Measure(episode_step()));
  return result;
}

absl::StatusOr<double> MujocoEnvironment::Measure(int step) {
  RETURN_IF_ERROR(Derive(/*after_step=*/true, step));
  const double reward = true_reward_.empty() ? 0 : true_reward_[0].Evaluate();
  if (!std::isfinite(reward)) {
    return absl::OutOfRangeError(absl::StrCat("true_reward, ", task_.task().true_reward(), ", is ",
                                              reward, " after step ", step));
  }
  for (size_t i = 0; i < metrics_.size(); ++i) {
    metrics_[i].Step();
    if (!std::isfinite(metrics_[i].value())) {
      return absl::OutOfRangeError(absl::StrCat("metric \"", task_.task().metric(i).name(),
                                                "\" is ", metrics_[i].value(), " after step ",
                                                step));
    }
  }
  return reward;
}

absl::StatusOr<ClipTruth> MujocoEnvironment::TruthOf(absl::Span<const double> states,
                                                     absl::Span<const float> actions) {
  const size_t size = task_.state_size();
  const auto show = [&](size_t moment) {
    mj_setState(model_, data_.get(), &states[moment * size], mjSTATE_FULLPHYSICS);
    data_->time -= states[0];  // begins at 0, too: MuJoCo's states begin with the time
  };
  ResetToStart();
  show(0);
  RETURN_IF_ERROR(BeginMetrics());
  ClipTruth truth;
  for (size_t t = 1; t < states.size() / size; ++t) {
    show(t);
    SetControls(&actions[(t - 1) * task_.action_size()]);
    ASSIGN_OR_RETURN(const double reward, Measure(static_cast<int>(t)));
    if (task_.has_true_reward()) truth.true_rewards.push_back(static_cast<float>(reward));
  }
  // in place: the criteria are bound to it
  absl::c_transform(metrics_, metric_values_.begin(),
                    [](const MetricAccumulator& metric) { return metric.value(); });
  for (size_t i = 0; i < criteria_.size(); ++i) {
    const v1::Criterion& criterion = task_.task().rubric().criterion(static_cast<int>(i));
    truth.rubric.push_back(static_cast<float>(criteria_[i].Evaluate() / criterion.margin()));
    if (!std::isfinite(truth.rubric.back())) {
      return absl::OutOfRangeError(absl::StrCat("rubric \"", criterion.value(), "\" is ",
                                                truth.rubric.back(), " margins in a clip"));
    }
  }
  return truth;
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
      case ObservationTerm::kAct:
        value = d->act[term.index];
        break;
      case ObservationTerm::kUp:
      case ObservationTerm::kBodyVelocity: {
        const mjtNum up[3] = {0, 0, 1}, *orientation = d->qpos + term.orientation;
        mjtNum to_body[4], seen[3];
        mju_negQuat(to_body, orientation);
        mju_rotVecQuat(seen, term.kind == ObservationTerm::kUp ? up : d->qvel + term.index,
                       to_body);
        value = seen[term.axis];
        break;
      }
      case ObservationTerm::kQuantity:
        value = quantities_[term.index];
        break;
      case ObservationTerm::kUserData:
        value = d->userdata[term.index];
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
