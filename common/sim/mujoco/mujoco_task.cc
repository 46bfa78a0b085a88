#include "common/sim/mujoco/mujoco_task.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/sim/expression.h"
#include "common/sim/metrics.h"
#include "common/sim/mujoco/model_files.h"

namespace backflip::sim {
namespace {

constexpr double kNoClip = std::numeric_limits<double>::infinity();

// what MuJoCo calls an element, by its type
const char* TypeName(mjtObj type) {
  switch (type) {
    case mjOBJ_BODY:
      return "body";
    case mjOBJ_JOINT:
      return "joint";
    case mjOBJ_GEOM:
      return "geom";
    case mjOBJ_SITE:
      return "site";
    case mjOBJ_SENSOR:
      return "sensor";
    case mjOBJ_ACTUATOR:
      return "actuator";
    default:
      return "keyframe";
  }
}

int Count(const mjModel* model, mjtObj type) {
  switch (type) {
    case mjOBJ_BODY:
      return model->nbody;
    case mjOBJ_JOINT:
      return model->njnt;
    case mjOBJ_GEOM:
      return model->ngeom;
    case mjOBJ_SITE:
      return model->nsite;
    case mjOBJ_SENSOR:
      return model->nsensor;
    case mjOBJ_ACTUATOR:
      return model->nu;
    default:
      return model->nkey;
  }
}

absl::StatusOr<int> Find(const mjModel* model, mjtObj type, const std::string& name,
                         const Located& at, absl::string_view field, int index = -1) {
  const int id = name.empty() ? -1 : mj_name2id(model, type, name.c_str());
  if (id >= 0) return id;
  std::vector<std::string> names;
  for (int i = 0; i < Count(model, type) && names.size() < 40; ++i) {
    const char* known = mj_id2name(model, type, i);
    if (known != nullptr && *known != '\0') names.push_back(known);
  }
  return at.Error(field,
                  absl::StrCat("the model has no ", TypeName(type), " \"", name, "\" (named ones: ",
                               names.empty() ? "none" : absl::StrJoin(names, ", "), ")"),
                  index);
}

// the joint's index; a hinge or a slide
absl::StatusOr<int> FindScalarJoint(const mjModel* model, const std::string& name,
                                    const Located& at, absl::string_view field, int index = -1) {
  ASSIGN_OR_RETURN(const int joint, Find(model, mjOBJ_JOINT, name, at, field, index));
  if (model->jnt_type[joint] != mjJNT_HINGE && model->jnt_type[joint] != mjJNT_SLIDE) {
    return at.Error(field, absl::StrCat("joint \"", name, "\" is no hinge and no slide"), index);
  }
  return joint;
}

// marks the geoms that are named, by themselves or by their bodies
template <typename Names>
absl::Status Mark(const mjModel* model, const Names& geoms, const Names& bodies, const Located& at,
                  const std::string& prefix, char value, std::vector<char>* marks) {
  for (int i = 0; i < geoms.size(); ++i) {
    ASSIGN_OR_RETURN(const int geom,
                     Find(model, mjOBJ_GEOM, geoms[i], at, absl::StrCat(prefix, "geom"), i));
    (*marks)[geom] = value;
  }
  for (int i = 0; i < bodies.size(); ++i) {
    ASSIGN_OR_RETURN(const int body,
                     Find(model, mjOBJ_BODY, bodies[i], at, absl::StrCat(prefix, "body"), i));
    for (int j = 0; j < model->body_geomnum[body]; ++j) {
      (*marks)[model->body_geomadr[body] + j] = value;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int> FindQuantity(const std::vector<std::string>& names, const std::string& name,
                                 const Located& at, absl::string_view field, int index = -1) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<int>(found - names.begin());
  return at.Error(
      field,
      absl::StrCat("unknown quantity \"", name, "\" (known: ", absl::StrJoin(names, ", "), ")"),
      index);
}

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

std::vector<std::string> CompiledTask::metric_names() const {
  std::vector<std::string> names;
  for (const auto& metric : task_.metric()) names.push_back(metric.name());
  return names;
}

absl::StatusOr<std::shared_ptr<const CompiledTask>> CompiledTask::FromFolder(
    const std::string& folder) {
  ASSIGN_OR_RETURN(Bundle bundle, PackBundle(folder));
  return Compile(std::move(bundle), absl::StrCat(folder, "/", kTaskFile));
}

absl::StatusOr<std::shared_ptr<const CompiledTask>> CompiledTask::FromBundle(
    const std::string& bytes) {
  return Compile(Bundle{bytes, base::Sha256Hex(bytes)}, kTaskFile);
}

absl::StatusOr<std::shared_ptr<const CompiledTask>> CompiledTask::Compile(
    Bundle bundle, const std::string& shown_file) {
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

  const auto task = std::shared_ptr<CompiledTask>(new CompiledTask);
  task->bundle_ = std::move(bundle);
  task->task_ = file->task();
  auto model = LoadModel(NormalizePath(task->task_.model()), reader);
  if (!model.ok()) return at.Error("model", model.status().message());
  task->model_ = *std::move(model);
  task->state_size_ = mj_stateSize(task->model(), mjSTATE_FULLPHYSICS);

  if (task->model_->nu == 0) {
    return at.Error("model", "the model has no actuator: nothing to learn");
  }
  if (task->task_.has_action_size() && task->task_.action_size() != task->model_->nu) {
    return at.Error("action_size",
                    absl::StrCat("is ", task->task_.action_size(), "; the model has ",
                                 task->model_->nu, " actuators"));
  }
  RETURN_IF_ERROR(task->ResolveReset(at.Nested("reset")));
  RETURN_IF_ERROR(task->ResolveQuantities(at));
  RETURN_IF_ERROR(task->ResolveObservation(at));
  RETURN_IF_ERROR(task->ResolveCamera(at));
  RETURN_IF_ERROR(task->CheckExpressions(at));
  if (!task->task_.clip().has_playback_fps()) {
    task->task_.mutable_clip()->set_playback_fps(1 / task->step_seconds());
  }
  task->Hash(message);
  return task;
}

absl::Status CompiledTask::ResolveReset(const Located& at) {
  const v1::Reset& reset = task_.reset();
  if (!reset.keyframe().empty()) {
    ASSIGN_OR_RETURN(keyframe_, Find(model(), mjOBJ_KEY, reset.keyframe(), at, "keyframe"));
  }
  const Located starts = at.Nested("exploring_starts");
  for (int i = 0; i < reset.exploring_starts().joint_size(); ++i) {
    const v1::JointStart& start = reset.exploring_starts().joint(i);
    const Located here = starts.Nested("joint", i);
    ASSIGN_OR_RETURN(const int joint, FindScalarJoint(model(), start.name(), here, "name"));
    const mjtNum* range = model()->jnt_range + 2 * joint;
    if (start.has_position() && model()->jnt_limited[joint] &&
        (start.position().from() < range[0] || start.position().to() > range[1])) {
      return here.Error("position",
                        absl::StrCat("the joint's limits are ", range[0], " and ", range[1]));
    }
    exploring_joints_.push_back({model()->jnt_qposadr[joint], model()->jnt_dofadr[joint]});
  }
  return absl::OkStatus();
}

absl::Status CompiledTask::ResolveQuantities(const Located& at) {
  const mjModel* m = model();
  std::vector<double> zeros(task_.quantity_size());
  for (int i = 0; i < task_.quantity_size(); ++i) {
    const v1::Quantity& quantity = task_.quantity(i);
    const Located here = at.Nested("quantity", i);
    QuantitySource source;
    switch (quantity.value_case()) {
      case v1::Quantity::kBody: {
        const Located where = here.Nested("body");
        const auto field = quantity.body().field();
        ASSIGN_OR_RETURN(source.index, Find(m, mjOBJ_BODY, quantity.body().name(), where, "name"));
        if (field >= v1::BodyValue::X && field <= v1::BodyValue::Z) {
          source.kind = QuantitySource::kBodyPosition;
          source.axis = field - v1::BodyValue::X;
        } else if (field >= v1::BodyValue::VX && field <= v1::BodyValue::VZ) {
          source.kind = QuantitySource::kBodyVelocity;
          source.axis = 3 + field - v1::BodyValue::VX;
          needs_.velocities = true;
        } else if (field >= v1::BodyValue::WX && field <= v1::BodyValue::WZ) {
          source.kind = QuantitySource::kBodyVelocity;
          source.axis = field - v1::BodyValue::WX;
          needs_.velocities = true;
        } else if (field == v1::BodyValue::UPRIGHT) {
          source.kind = QuantitySource::kBodyUpright;
        } else {
          return where.Error("field",
                             "missing: X, Y, Z, VX, VY, VZ, WX, WY, "
                             "WZ or UPRIGHT");
        }
        needs_.positions = true;
        break;
      }
      case v1::Quantity::kJoint: {
        const Located where = here.Nested("joint");
        ASSIGN_OR_RETURN(const int joint,
                         FindScalarJoint(m, quantity.joint().name(), where, "name"));
        if (quantity.joint().field() == v1::JointValue::POSITION) {
          source.kind = QuantitySource::kQpos;
          source.index = m->jnt_qposadr[joint];
        } else if (quantity.joint().field() == v1::JointValue::VELOCITY) {
          source.kind = QuantitySource::kQvel;
          source.index = m->jnt_dofadr[joint];
        } else {
          return where.Error("field", "missing: POSITION or VELOCITY");
        }
        break;
      }
      case v1::Quantity::kSite: {
        const Located where = here.Nested("site");
        source.kind = QuantitySource::kSitePosition;
        ASSIGN_OR_RETURN(source.index, Find(m, mjOBJ_SITE, quantity.site().name(), where, "name"));
        if (quantity.site().field() == v1::SiteValue::FIELD_UNSPECIFIED) {
          return where.Error("field", "missing: X, Y or Z");
        }
        source.axis = quantity.site().field() - v1::SiteValue::X;
        needs_.positions = true;
        break;
      }
      case v1::Quantity::kSensor: {
        const Located where = here.Nested("sensor");
        source.kind = QuantitySource::kSensor;
        ASSIGN_OR_RETURN(const int sensor,
                         Find(m, mjOBJ_SENSOR, quantity.sensor().name(), where, "name"));
        const int index = quantity.sensor().index();
        if (index < 0 || index >= m->sensor_dim[sensor]) {
          return where.Error("index", absl::StrCat("is ", index, "; the sensor has ",
                                                   m->sensor_dim[sensor], " numbers"));
        }
        source.index = m->sensor_adr[sensor] + index;
        needs_.everything = true;
        break;
      }
      case v1::Quantity::kContact: {
        const Located where = here.Nested("contact");
        const v1::ContactValue& contact = quantity.contact();
        source.kind = QuantitySource::kContact;
        if (contact.geom_size() + contact.body_size() == 0) {
          return where.Error("geom", "name at least one geom or body");
        }
        source.first.assign(m->ngeom, 0);
        RETURN_IF_ERROR(Mark(m, contact.geom(), contact.body(), where, "", 1, &source.first));
        const bool any = contact.with_geom_size() + contact.with_body_size() == 0;
        source.second.assign(m->ngeom, any ? 1 : 0);
        RETURN_IF_ERROR(
            Mark(m, contact.with_geom(), contact.with_body(), where, "with_", 1, &source.second));
        RETURN_IF_ERROR(Mark(m, contact.except_geom(), contact.except_body(), where, "except_", 0,
                             &source.second));
        needs_.positions = needs_.contacts = true;
        break;
      }
      case v1::Quantity::kAction: {
        source.kind = QuantitySource::kAction;
        ASSIGN_OR_RETURN(source.index, Find(m, mjOBJ_ACTUATOR, quantity.action().actuator(),
                                            here.Nested("action"), "actuator"));
        break;
      }
      case v1::Quantity::kPower: {
        const Located where = here.Nested("power");
        source.kind = QuantitySource::kPower;
        std::vector<int> actuators;
        for (int j = 0; j < quantity.power().actuator_size(); ++j) {
          ASSIGN_OR_RETURN(const int actuator, Find(m, mjOBJ_ACTUATOR, quantity.power().actuator(j),
                                                    where, "actuator", j));
          actuators.push_back(actuator);
        }
        const bool all = actuators.empty();
        for (int j = 0; all && j < m->nu; ++j) actuators.push_back(j);
        for (const int actuator : actuators) {
          const int type = m->actuator_trntype[actuator];
          const int joint = m->actuator_trnid[2 * actuator];
          if ((type == mjTRN_JOINT || type == mjTRN_JOINTINPARENT) &&
              (m->jnt_type[joint] == mjJNT_HINGE || m->jnt_type[joint] == mjJNT_SLIDE)) {
            source.terms.push_back({actuator, m->jnt_dofadr[joint]});
          } else if (!all) {
            return where.Error("actuator", "drives no hinge and no slide");
          }
        }
        break;
      }
      case v1::Quantity::kLatch: {
        const Located where = here.Nested("latch");
        source.kind = QuantitySource::kLatch;
        ASSIGN_OR_RETURN(source.set,
                         FindQuantity(quantity_names_, quantity.latch().set(), where, "set"));
        ASSIGN_OR_RETURN(source.reset,
                         FindQuantity(quantity_names_, quantity.latch().reset(), where, "reset"));
        // the model may have user data of its own
        source.index = model_->nuserdata++;
        break;
      }
      default: {
        source.kind = QuantitySource::kExpression;
        source.text = quantity.expression();
        const auto expression = Expression::Compile(source.text, quantity_names_, zeros.data());
        if (!expression.ok()) {
          return here.Error("expression", expression.status().message());
        }
      }
    }
    quantities_.push_back(std::move(source));
    quantity_names_.push_back(quantity.name());
  }
  return absl::OkStatus();
}

absl::Status CompiledTask::ResolveObservation(const Located& at) {
  const mjModel* m = model();
  const v1::Observation& observation = task_.observation();
  const Located here = at.Nested("observation");
  std::vector<int> angles;
  for (int i = 0; i < observation.angle_size(); ++i) {
    ASSIGN_OR_RETURN(const int joint, FindScalarJoint(m, observation.angle(i), here, "angle", i));
    angles.push_back(m->jnt_qposadr[joint]);
  }
  if (observation.has_qpos()) {
    ASSIGN_OR_RETURN(const auto range, Range(observation.qpos(), m->nq, here.Nested("qpos")));
    const double clip = observation.qpos().has_clip() ? observation.qpos().clip() : kNoClip;
    for (int i = range.first; i < range.second; ++i) {
      if (std::find(angles.begin(), angles.end(), i) == angles.end()) {
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
      observation_terms_.push_back({ObservationTerm::kQvel, i, clip});
    }
  }
  for (int i = 0; i < observation.quantity_size(); ++i) {
    ASSIGN_OR_RETURN(const int quantity,
                     FindQuantity(quantity_names_, observation.quantity(i), here, "quantity", i));
    observation_terms_.push_back({ObservationTerm::kQuantity, quantity, kNoClip});
  }
  if (observation_terms_.empty()) {
    return at.Error("observation", "is empty: give qpos, angle, qvel or quantity");
  }
  return absl::OkStatus();
}

absl::Status CompiledTask::ResolveCamera(const Located& at) {
  v1::Camera* camera = task_.mutable_camera();
  if (!camera->track().empty()) {
    ASSIGN_OR_RETURN(tracked_body_,
                     Find(model(), mjOBJ_BODY, camera->track(), at.Nested("camera"), "track"));
  } else {
    // the first body: the world (0) only in a model without bodies
    tracked_body_ = std::min(1, static_cast<int>(model_->nbody) - 1);
  }
  if (!camera->has_distance()) camera->set_distance(2 * model_->stat.extent);
  if (!camera->has_azimuth()) camera->set_azimuth(90);
  if (!camera->has_elevation()) camera->set_elevation(-10);
  return absl::OkStatus();
}

absl::Status CompiledTask::CheckExpressions(const Located& at) const {
  std::vector<double> zeros(quantity_names_.size());
  if (has_true_reward()) {
    const auto reward = Expression::Compile(task_.true_reward(), quantity_names_, zeros.data());
    if (!reward.ok()) {
      return at.Error("true_reward", reward.status().message());
    }
  }
  for (int i = 0; i < task_.metric_size(); ++i) {
    const auto metric = MetricAccumulator::Create(task_.metric(i), quantity_names_, zeros.data());
    if (!metric.ok()) {
      return at.Nested("metric", i).Error("name", metric.status().message());
    }
  }
  return absl::OkStatus();
}

void CompiledTask::Hash(const v1::TaskBundle& files) {
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
  fingerprint_ = base::Sha256Hex(bytes);

  v1::Task presentation = task_;
  presentation.clear_model();
  presentation.clear_frame_skip();
  presentation.clear_observation();
  presentation.clear_reset();
  presentation.clear_defaults();
  presentation_hash_ = base::Sha256Hex(presentation.SerializeAsString());
}

}  // namespace backflip::sim
