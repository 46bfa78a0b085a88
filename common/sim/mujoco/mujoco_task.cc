#include "common/sim/mujoco/mujoco_task.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/sim/expression.h"
#include "common/sim/metrics.h"
#include "common/sim/mujoco/elements.h"
#include "common/sim/mujoco/model_files.h"
#include "common/sim/mujoco/mujoco_environment.h"
#include "common/sim/mujoco/mujoco_errors.h"
#include "common/sim/mujoco/robot.h"

namespace backflip::sim {
namespace {

constexpr double kNoClip = std::numeric_limits<double>::infinity();

// a half-open range of qpos or qvel, checked
template <typename Term>
absl::StatusOr<std::pair<int, int>> Range(const Term& term, int size, const Located& at) {
  const int to = term.has_to() ? term.to() : size;
  if (to < 0 || to > size) {
    return at.Error("to", absl::StrCat("is ", to, "; the model has ", size));
  }
  if (term.from() < 0 || term.from() >= to) {
    return at.Error("from", absl::StrCat("is ", term.from(), "; must be 0 to ", to - 1));
  }
  if (term.has_clip() && !(term.clip() > 0)) {
    return at.Error("clip", absl::StrCat("is ", term.clip(), "; must be greater than 0"));
  }
  return std::make_pair(term.from(), to);
}

}  // namespace

absl::Status MujocoTask::ReadModel(const std::string& path, const FileReader& reader) {
  return LoadModel(path, reader).status();
}

absl::StatusOr<const MujocoTask*> MujocoTask::Of(const Task& task) {
  const auto* result = dynamic_cast<const MujocoTask*>(&task);
  if (result != nullptr) return result;
  return absl::UnimplementedError(
      absl::StrCat("task ", task.name(), " has no MuJoCo model, which this needs"));
}

absl::StatusOr<std::shared_ptr<const Task>> MujocoTask::Compile(Bundle bundle,
                                                                const std::string& shown_file) {
  ASSIGN_OR_RETURN(const v1::TaskBundle message, UnpackBundle(bundle.bytes));
  std::map<std::string, const std::string*> files;
  for (const auto& file : message.files()) {
    files[file.path()] = &file.content();
  }
  const FileReader reader = [&](const std::string& path) -> const std::string* {
    const auto found = files.find(path);
    return found == files.end() ? nullptr : found->second;
  };
  const std::string* text = reader(kTaskFile);
  if (text == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the task bundle holds no ", kTaskFile));
  }
  ASSIGN_OR_RETURN(const auto file, TaskFile::Parse(*text, shown_file));
  const Located at = file->located();

  const auto task = std::shared_ptr<MujocoTask>(new MujocoTask);
  task->bundle_ = std::move(bundle);
  task->task_ = file->task();
  auto model = LoadModel(NormalizePath(task->task_.model()), reader);
  if (!model.ok()) return at.Error("model", model.status().message());
  task->model_ = *std::move(model);

  if (task->model_->nu == 0) {
    return at.Error("model", "the model has no actuator that takes a control: nothing to learn");
  }
  if (task->task_.has_action_size() && task->task_.action_size() != task->model_->nu) {
    return at.Error("action_size", absl::StrCat("is ", task->task_.action_size(),
                                                "; the model has ", task->model_->nu, " controls"));
  }
  RETURN_IF_ERROR(task->ResolveReset(at.Nested("reset")));
  ASSIGN_OR_RETURN(task->quantities_, Quantities::Resolve(task->task_, at, task->model_.get()));
  RETURN_IF_ERROR(task->ResolveObservation(at));
  RETURN_IF_ERROR(task->ResolveCamera(at));
  RETURN_IF_ERROR(task->CheckExpressions(at));
  if (!task->task_.clip().has_playback_fps()) {
    task->task_.mutable_clip()->set_playback_fps(1 / task->step_seconds());
  }
  task->observation_.size = static_cast<int>(task->observation_terms_.size());
  task->action_.size = task->model_->nu;
  task->fingerprint_ = task->Fingerprint(message);
  return task;
}

absl::Status MujocoTask::ResolveReset(const Located& at) {
  const v1::Reset& reset = task_.reset();
  if (!reset.keyframe().empty()) {
    ASSIGN_OR_RETURN(keyframe_, FindElement(model(), mjOBJ_KEY, reset.keyframe(), at, "keyframe"));
  }
  ASSIGN_OR_RETURN(reset_joints_, ResolveJoints(reset.joint(), at));
  ASSIGN_OR_RETURN(exploring_joints_,
                   ResolveJoints(reset.exploring_starts().joint(), at.Nested("exploring_starts")));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<JointIndex>> MujocoTask::ResolveJoints(
    const google::protobuf::RepeatedPtrField<v1::JointStart>& joints, const Located& at) const {
  std::vector<JointIndex> indices;
  for (int i = 0; i < joints.size(); ++i) {
    const v1::JointStart& start = joints[i];
    const Located here = at.Nested("joint", i);
    ASSIGN_OR_RETURN(const int joint, FindScalarJoint(model(), start.name(), here, "name"));
    const mjtNum* range = model()->jnt_range + 2 * joint;
    if (start.has_position() && model()->jnt_limited[joint] &&
        (start.position().from() < range[0] || start.position().to() > range[1])) {
      return here.Error("position",
                        absl::StrCat("the joint's limits are ", range[0], " and ", range[1]));
    }
    indices.push_back({model()->jnt_qposadr[joint], model()->jnt_dofadr[joint]});
  }
  return indices;
}

absl::Status MujocoTask::ResolveObservation(const Located& at) {
  const mjModel* m = model();
  const v1::Observation& observation = task_.observation();
  const Located here = at.Nested("observation");
  std::vector<int> angles;
  for (int i = 0; i < observation.angle_size(); ++i) {
    ASSIGN_OR_RETURN(const int joint, FindScalarJoint(m, observation.angle(i), here, "angle", i));
    angles.push_back(m->jnt_qposadr[joint]);
  }
  // a free joint's numbers: 3 of its place and 4 of its orientation; 3 of each velocity
  const auto free_joint = [&](const int* addresses, int size, int index) {
    for (int joint = 0; observation.body_axes() && joint < m->njnt; ++joint) {
      const int begin = addresses[joint];
      if (m->jnt_type[joint] == mjJNT_FREE && index >= begin && index < begin + size) return joint;
    }
    return -1;
  };
  if (observation.has_qpos()) {
    ASSIGN_OR_RETURN(const auto range, Range(observation.qpos(), m->nq, here.Nested("qpos")));
    const double clip = observation.qpos().has_clip() ? observation.qpos().clip() : kNoClip;
    for (int i = range.first; i < range.second; ++i) {
      const int joint = free_joint(m->jnt_qposadr, 7, i);
      const int orientation = joint < 0 ? m->nq : m->jnt_qposadr[joint] + 3;
      if (i >= orientation) {
        const int axis = i - orientation;
        if (axis < 3) {
          observation_terms_.push_back({ObservationTerm::kUp, 0, clip, axis, orientation});
        }
      } else if (std::find(angles.begin(), angles.end(), i) == angles.end()) {
        observation_terms_.push_back({ObservationTerm::kQpos, i, clip});
      }
    }
  }
  for (const int i : angles) {
    observation_terms_.push_back({ObservationTerm::kSine, i, kNoClip});
    observation_terms_.push_back({ObservationTerm::kCosine, i, kNoClip});
  }
  if (observation.has_qvel()) {
    ASSIGN_OR_RETURN(const auto range, Range(observation.qvel(), m->nv, here.Nested("qvel")));
    const double clip = observation.qvel().has_clip() ? observation.qvel().clip() : kNoClip;
    for (int i = range.first; i < range.second; ++i) {
      const int joint = free_joint(m->jnt_dofadr, 3, i);
      if (joint < 0) {
        observation_terms_.push_back({ObservationTerm::kQvel, i, clip});
      } else {
        const int begin = m->jnt_dofadr[joint];
        observation_terms_.push_back(
            {ObservationTerm::kBodyVelocity, begin, clip, i - begin, m->jnt_qposadr[joint] + 3});
      }
    }
  }
  if (observation.has_act()) {
    ASSIGN_OR_RETURN(const auto range, Range(observation.act(), m->na, here.Nested("act")));
    const double clip = observation.act().has_clip() ? observation.act().clip() : kNoClip;
    for (int i = range.first; i < range.second; ++i) {
      observation_terms_.push_back({ObservationTerm::kAct, i, clip});
    }
  }
  for (int i = 0; i < observation.quantity_size(); ++i) {
    ASSIGN_OR_RETURN(const int quantity,
                     quantities_.Find(observation.quantity(i), here, "quantity", i));
    observation_terms_.push_back({ObservationTerm::kQuantity, quantity, kNoClip});
  }
  if (observation.has_contacts()) {
    ASSIGN_OR_RETURN(contacts_, Contacts::Resolve(here, step_seconds(), model_.get()));
    quantities_.needs_positions = quantities_.needs_contacts = true;
    for (const int memory : contacts_->memory()) {
      observation_terms_.push_back({ObservationTerm::kUserData, memory, kNoClip});
    }
  }
  if (observation_terms_.empty()) {
    return at.Error("observation", "is empty: give qpos, angle, qvel, act, quantity or contacts");
  }
  return absl::OkStatus();
}

absl::Status MujocoTask::ResolveCamera(const Located& at) {
  v1::Camera* camera = task_.mutable_camera();
  const Robot robot = RobotOf(model());
  if (!camera->track().empty()) {
    ASSIGN_OR_RETURN(tracked_body_, FindElement(model(), mjOBJ_BODY, camera->track(),
                                                at.Nested("camera"), "track"));
  } else {
    tracked_body_ = robot.root;
  }
  if (!camera->has_azimuth()) camera->set_azimuth(90);
  if (!camera->has_elevation()) camera->set_elevation(-10);
  if (camera->has_distance()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const DataPtr data, MakeData(model()));
  if (keyframe_ >= 0) mj_resetDataKeyframe(model(), data.get(), keyframe_);
  mj_kinematics(model(), data.get());
  const mjtNum* place = data->xpos + 3 * tracked_body_;
  const Point target = {place[0], place[1], camera->has_height() ? camera->height() : place[2]};
  camera->set_distance(CameraDistance({{target, RobotCorners(model(), data.get(), robot)}},
                                      camera->azimuth(), camera->elevation()));
  return absl::OkStatus();
}

absl::Status MujocoTask::CheckExpressions(const Located& at) const {
  std::vector<double> zeros(quantities_.names.size());
  if (has_true_reward()) {
    const auto reward = Expression::Compile(task_.true_reward(), quantities_.names, zeros.data());
    if (!reward.ok()) {
      return at.Error("true_reward", reward.status().message());
    }
  }
  for (int i = 0; i < task_.metric_size(); ++i) {
    const auto metric = MetricAccumulator::Create(task_.metric(i), quantities_.names, zeros.data());
    if (!metric.ok()) {
      return at.Nested("metric", i).Error("name", metric.status().message());
    }
  }
  const std::vector<std::string> metrics = metric_names();
  std::vector<double> counted(metrics.size());
  for (int i = 0; i < task_.rubric().criterion_size(); ++i) {
    const auto value =
        Expression::Compile(task_.rubric().criterion(i).value(), metrics, counted.data());
    if (!value.ok()) {
      return at.Nested("rubric").Nested("criterion", i).Error("value", value.status().message());
    }
  }
  return absl::OkStatus();
}

std::string MujocoTask::Fingerprint(const v1::TaskBundle& files) const {
  // what a rollout depends on; quantities only as far as they are observed
  v1::Task dynamics;
  dynamics.set_model(task_.model());
  dynamics.set_frame_skip(task_.frame_skip());
  *dynamics.mutable_observation() = task_.observation();
  *dynamics.mutable_reset() = task_.reset();
  if (task_.observation().quantity_size() > 0) {
    *dynamics.mutable_quantity() = task_.quantity();
  }
  std::string bytes = absl::StrCat("backflip task 1\n", mj_versionString(), "\n",
                                   base::Sha256Hex(dynamics.SerializeAsString()));
  for (const auto& file : files.files()) {
    if (file.path() == kTaskFile) continue;
    absl::StrAppend(&bytes, "\n", file.path(), "\n", base::Sha256Hex(file.content()));
  }
  return base::Sha256Hex(bytes);
}

absl::StatusOr<std::unique_ptr<Environment>> MujocoTask::MakeEnvironment() const {
  return MujocoEnvironment::Create(*this);
}

std::vector<float> MujocoTask::BodyPoses(absl::Span<const double> states) const {
  const DataPtr data(mj_makeData(model()));
  // mocap bodies are no part of a moment: they stay where the start has them
  if (keyframe_ >= 0) mj_resetDataKeyframe(model(), data.get(), keyframe_);
  std::vector<float> poses;
  const size_t size = state_size(), moments = states.size() / size;
  poses.reserve(moments * bodies() * 7);
  for (size_t i = 0; i < moments; ++i) {
    mj_setState(model(), data.get(), &states[i * size], mjSTATE_FULLPHYSICS);
    mj_kinematics(model(), data.get());
    for (int body = 1; body < model_->nbody; ++body) {
      const mjtNum *position = data->xpos + 3 * body, *orientation = data->xquat + 4 * body;
      for (int j = 0; j < 3; ++j) poses.push_back(static_cast<float>(position[j]));
      for (int j = 0; j < 4; ++j) poses.push_back(static_cast<float>(orientation[j]));
    }
  }
  return poses;
}

}  // namespace backflip::sim
