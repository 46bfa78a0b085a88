#include "common/sim/mujoco/mujoco_environment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace backflip::sim {

absl::StatusOr<std::unique_ptr<Environment>> Environment::Create(
    std::shared_ptr<const CompiledTask> task) {
  auto result = std::unique_ptr<Environment>(new Environment(std::move(task)));
  if (result->data_ == nullptr) {
    return absl::ResourceExhaustedError("no memory for a simulation");
  }
  const v1::Task& description = result->task_->task();
  const auto& names = result->task_->quantity_names();
  const auto add = [&](const std::string& text, std::vector<Expression>* to) -> absl::Status {
    ASSIGN_OR_RETURN(Expression expression,
                     Expression::Compile(text, names, result->values_.data()));
    to->push_back(std::move(expression));
    return absl::OkStatus();
  };
  for (const QuantitySource& source : result->task_->quantities()) {
    if (source.kind == QuantitySource::kExpression) {
      RETURN_IF_ERROR(add(source.text, &result->expressions_));
    }
  }
  if (result->task_->has_true_reward()) {
    RETURN_IF_ERROR(add(description.true_reward(), &result->true_reward_expression_));
  }
  for (const auto& metric : description.metric()) {
    ASSIGN_OR_RETURN(MetricAccumulator accumulator,
                     MetricAccumulator::Create(metric, names, result->values_.data()));
    result->metrics_.push_back(std::move(accumulator));
  }
  return result;
}

Environment::Environment(std::shared_ptr<const CompiledTask> task)
    : task_(std::move(task)),
      model_(task_->model()),
      data_(mj_makeData(model_)),
      control_middle_(model_->nu, 0.0),
      control_half_(model_->nu, 1.0),
      warmstart_(model_->nv),
      values_(task_->quantities().size()),
      noise_(model_->nu) {
  for (int i = 0; i < model_->nu; ++i) {
    if (!model_->actuator_ctrllimited[i]) continue;
    const double low = model_->actuator_ctrlrange[2 * i];
    const double high = model_->actuator_ctrlrange[2 * i + 1];
    control_middle_[i] = 0.5 * (low + high);
    control_half_[i] = 0.5 * (high - low);
  }
}

uint64_t Environment::Draw() { return base::SeedOf({rng_seed_, rng_counter_++}); }

double Environment::DrawUniform(double bound) {
  return bound * (2 * base::UnitInterval(Draw()) - 1);
}

void Environment::DrawNormals(absl::Span<float> normals) {
  // Box and Muller's pairs
  for (size_t i = 0; i < normals.size(); i += 2) {
    const double radius = std::sqrt(-2 * std::log(1 - base::UnitInterval(Draw())));
    const double angle = 2 * M_PI * base::UnitInterval(Draw());
    normals[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < normals.size()) {
      normals[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
  }
}

void Environment::DrawUniforms(absl::Span<float> uniforms) {
  for (float& value : uniforms) value = static_cast<float>(DrawUniform(1));
}

absl::Status Environment::Begin(uint64_t seed, Purpose purpose) {
  rng_seed_ = seed;
  rng_counter_ = 0;
  return BeginEpisode(purpose);
}

absl::Status Environment::BeginEpisode(Purpose purpose) {
  if (task_->keyframe() >= 0) {
    mj_resetDataKeyframe(model_, data_.get(), task_->keyframe());
  } else {
    mj_resetData(model_, data_.get());
    std::copy(control_middle_.begin(), control_middle_.end(), data_->ctrl);
  }
  const v1::Reset& reset = task_->task().reset();
  for (int i = 0; i < model_->nq; ++i) {
    data_->qpos[i] += DrawUniform(reset.qpos_noise());
  }
  for (int i = 0; i < model_->nv; ++i) {
    data_->qvel[i] += DrawUniform(reset.qvel_noise());
  }
  mj_normalizeQuat(model_, data_->qpos);
  // no draw where there are none: those tasks' episodes stay what they were
  const v1::ExploringStarts& starts = reset.exploring_starts();
  if (purpose == Purpose::kTraining && starts.share() > 0 &&
      base::UnitInterval(Draw()) < starts.share()) {
    const auto draw = [this](const v1::Interval& interval) {
      return interval.from() + (interval.to() - interval.from()) * base::UnitInterval(Draw());
    };
    for (int i = 0; i < starts.joint_size(); ++i) {
      const v1::JointStart& start = starts.joint(i);
      const auto [qpos, qvel] = task_->exploring_joints()[i];
      if (start.has_position()) data_->qpos[qpos] = draw(start.position());
      if (start.has_velocity()) data_->qvel[qvel] = draw(start.velocity());
    }
  }
  DrawNormals(absl::MakeSpan(noise_));
  episode_step_ = 0;
  diverged_ = false;
  RETURN_IF_ERROR(Refresh());
  for (MetricAccumulator& metric : metrics_) metric.Begin();
  return absl::OkStatus();
}

absl::Status Environment::Restore(const EnvironmentState& state) {
  const auto check = [](absl::string_view what, size_t size, size_t expected) {
    if (size == expected) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "an environment's state has ", size, " numbers of ", what, "; this task has ", expected));
  };
  RETURN_IF_ERROR(
      check("physics", state.physics.size(), mj_stateSize(model_, mjSTATE_INTEGRATION)));
  RETURN_IF_ERROR(check("noise", state.noise.size(), noise_.size()));
  if (state.episode_step < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("an environment's state has episode step ", state.episode_step));
  }
  const auto finite = [](double x) { return std::isfinite(x); };
  if (!std::all_of(state.physics.begin(), state.physics.end(), finite) ||
      !std::all_of(state.noise.begin(), state.noise.end(), finite)) {
    return absl::InvalidArgumentError("an environment's state has a number that is not finite");
  }
  mj_resetData(model_, data_.get());
  mj_setState(model_, data_.get(), state.physics.data(), mjSTATE_INTEGRATION);
  episode_step_ = state.episode_step;
  noise_ = state.noise;
  rng_seed_ = state.rng_seed;
  rng_counter_ = state.rng_counter;
  diverged_ = false;
  RETURN_IF_ERROR(Refresh());
  for (MetricAccumulator& metric : metrics_) metric.Begin();
  return absl::OkStatus();
}

EnvironmentState Environment::Save() const {
  EnvironmentState state;
  state.physics.resize(mj_stateSize(model_, mjSTATE_INTEGRATION));
  mj_getState(model_, data_.get(), state.physics.data(), mjSTATE_INTEGRATION);
  state.episode_step = episode_step_;
  state.noise = noise_;
  state.rng_seed = rng_seed_;
  state.rng_counter = rng_counter_;
  return state;
}

absl::Status Environment::Step(const float* action) {
  mjData* d = data_.get();
  for (int i = 0; i < model_->nu; ++i) {
    const double clipped = std::clamp(static_cast<double>(action[i]), -1.0, 1.0);
    d->ctrl[i] = control_middle_[i] + control_half_[i] * clipped;
  }
  for (int i = 0; i < task_->task().frame_skip(); ++i) mj_step(model_, d);
  ++episode_step_;
  diverged_ = d->warning[mjWARN_BADQPOS].number > 0 || d->warning[mjWARN_BADQVEL].number > 0 ||
              d->warning[mjWARN_BADQACC].number > 0;
  RETURN_IF_ERROR(Refresh());
  if (!true_reward_expression_.empty()) {
    true_reward_ = true_reward_expression_[0].Evaluate();
    if (!std::isfinite(true_reward_)) {
      return absl::OutOfRangeError(
          absl::StrCat("true_reward is ", true_reward_, " after step ", episode_step_));
    }
  }
  for (size_t i = 0; i < metrics_.size(); ++i) {
    metrics_[i].Step();
    if (!std::isfinite(metrics_[i].value())) {
      return absl::OutOfRangeError(absl::StrCat("metric \"", task_->task().metric(i).name(),
                                                "\" is ", metrics_[i].value(), " after step ",
                                                episode_step_));
    }
  }
  return absl::OkStatus();
}

absl::Status Environment::Refresh() {
  // after mj_step, all that MuJoCo derived is of an earlier moment
  mjData* d = data_.get();
  const Needs& needs = task_->needs();
  if (needs.everything) {
    // mj_forward leaves a new warm start behind; a restored state would differ
    std::copy_n(d->qacc_warmstart, model_->nv, warmstart_.data());
    mj_forward(model_, d);
    std::copy_n(warmstart_.data(), model_->nv, d->qacc_warmstart);
  } else if (needs.positions) {
    mj_kinematics(model_, d);
    if (needs.velocities) {
      mj_comPos(model_, d);
      mj_comVel(model_, d);
    }
    if (needs.contacts) mj_collision(model_, d);
  }
  const auto& sources = task_->quantities();
  int expression = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    values_[i] = Quantity(sources[i], expression);
    if (sources[i].kind == QuantitySource::kExpression) ++expression;
    if (sources[i].kind == QuantitySource::kLatch) {
      d->userdata[sources[i].index] = values_[i];
    }
    if (!std::isfinite(values_[i])) {
      return absl::OutOfRangeError(absl::StrCat("quantity \"", task_->quantity_names()[i], "\" is ",
                                                values_[i], " after step ", episode_step_));
    }
  }
  return absl::OkStatus();
}

double Environment::Quantity(const QuantitySource& source, int expression) const {
  const mjData* d = data_.get();
  switch (source.kind) {
    case QuantitySource::kBodyPosition:
      return d->xpos[3 * source.index + source.axis];
    case QuantitySource::kBodyVelocity: {
      mjtNum velocity[6];
      mj_objectVelocity(model_, d, mjOBJ_XBODY, source.index, velocity, 0);
      return velocity[source.axis];
    }
    case QuantitySource::kBodyUpright:
      return d->xmat[9 * source.index + 8];
    case QuantitySource::kQpos:
      return d->qpos[source.index];
    case QuantitySource::kQvel:
      return d->qvel[source.index];
    case QuantitySource::kSitePosition:
      return d->site_xpos[3 * source.index + source.axis];
    case QuantitySource::kSensor:
      return d->sensordata[source.index];
    case QuantitySource::kContact:
      return Touching(source) ? 1 : 0;
    case QuantitySource::kAction:
      return Action(source.index);
    case QuantitySource::kPower: {
      double power = 0;
      for (const auto& term : source.terms) {
        power += Action(term.actuator) * d->qvel[term.dof];
      }
      return power;
    }
    case QuantitySource::kExpression:
      return expressions_[expression].Evaluate();
    case QuantitySource::kLatch:
      if (values_[source.set] != 0) return 1;
      return values_[source.reset] != 0 ? 0 : d->userdata[source.index];
  }
  return 0;
}

double Environment::Action(int actuator) const {
  return control_half_[actuator] == 0
             ? 0
             : (data_->ctrl[actuator] - control_middle_[actuator]) / control_half_[actuator];
}

bool Environment::Touching(const QuantitySource& source) const {
  for (int i = 0; i < data_->ncon; ++i) {
    const int a = data_->contact[i].geom[0], b = data_->contact[i].geom[1];
    if (a < 0 || b < 0) continue;  // flexes
    if ((source.first[a] && source.second[b]) || (source.first[b] && source.second[a])) {
      return true;
    }
  }
  return false;
}

void Environment::Observe(float* observation) const {
  const mjData* d = data_.get();
  for (const ObservationTerm& term : task_->observation_terms()) {
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
        value = values_[term.index];
        break;
    }
    *observation++ = static_cast<float>(std::clamp(value, -term.clip, term.clip));
  }
}

void Environment::RecordState(double* state) const {
  mj_getState(model_, data_.get(), state, mjSTATE_FULLPHYSICS);
}

std::vector<double> Environment::Metrics() const {
  std::vector<double> values;
  for (const MetricAccumulator& metric : metrics_) values.push_back(metric.value());
  return values;
}

}  // namespace backflip::sim
