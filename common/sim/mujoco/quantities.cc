#include "common/sim/mujoco/quantities.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/elements.h"
#include "common/sim/mujoco/mujoco_errors.h"

namespace backflip::sim {
namespace {

// How a quantity is computed. Each kind has a function that finds in the model
// what it names, says in `all` what it needs, and returns its Reader; `all` holds
// the quantities before it.
using Reader = std::function<double(const Moment&)>;

absl::StatusOr<Reader> Body(const v1::BodyValue& value, const Located& at, const mjModel* model,
                            Quantities* all) {
  ASSIGN_OR_RETURN(const int body, FindElement(model, mjOBJ_BODY, value.name(), at, "name"));
  all->needs_positions = true;
  const auto field = value.field();
  if (field >= v1::BodyValue::X && field <= v1::BodyValue::Z) {
    const int index = 3 * body + field - v1::BodyValue::X;
    return [index](const Moment& m) { return m.data->xpos[index]; };
  }
  if (field >= v1::BodyValue::VX && field <= v1::BodyValue::WZ) {
    all->needs_velocities = true;
    // MuJoCo's order: angular, then linear
    const int axis =
        field >= v1::BodyValue::WX ? field - v1::BodyValue::WX : 3 + field - v1::BodyValue::VX;
    return [body, axis](const Moment& m) {
      mjtNum velocity[6];
      mj_objectVelocity(m.model, m.data, mjOBJ_XBODY, body, velocity, 0);
      return velocity[axis];
    };
  }
  if (field == v1::BodyValue::UPRIGHT) {
    return [index = 9 * body + 8](const Moment& m) { return m.data->xmat[index]; };
  }
  return at.Error("field", "missing: X, Y, Z, VX, VY, VZ, WX, WY, WZ or UPRIGHT");
}

absl::StatusOr<Reader> CentreOfMass(const v1::CentreOfMassValue& value, const Located& at,
                                    const mjModel* model, Quantities* all) {
  ASSIGN_OR_RETURN(const int body, FindElement(model, mjOBJ_BODY, value.body(), at, "body"));
  all->needs_positions = all->needs_velocities = true;
  const auto field = value.field();
  if (field >= v1::CentreOfMassValue::X && field <= v1::CentreOfMassValue::Z) {
    const int index = 3 * body + field - v1::CentreOfMassValue::X;
    return [index](const Moment& m) { return m.data->subtree_com[index]; };
  }
  if (field >= v1::CentreOfMassValue::VX && field <= v1::CentreOfMassValue::VZ) {
    all->needs_centre_velocities = true;
    const int index = 3 * body + field - v1::CentreOfMassValue::VX;
    return [index](const Moment& m) { return m.data->subtree_linvel[index]; };
  }
  return at.Error("field", "missing: X, Y, Z, VX, VY or VZ");
}

absl::StatusOr<Reader> Joint(const v1::JointValue& value, const Located& at, const mjModel* model,
                             Quantities* all) {
  ASSIGN_OR_RETURN(const int joint, FindScalarJoint(model, value.name(), at, "name"));
  if (value.field() == v1::JointValue::POSITION) {
    return [i = model->jnt_qposadr[joint]](const Moment& m) { return m.data->qpos[i]; };
  }
  if (value.field() == v1::JointValue::VELOCITY) {
    return [i = model->jnt_dofadr[joint]](const Moment& m) { return m.data->qvel[i]; };
  }
  if (value.field() == v1::JointValue::CONSTRAINT_FORCE) {
    all->needs_everything = true;
    return [i = model->jnt_dofadr[joint]](const Moment& m) { return m.data->qfrc_constraint[i]; };
  }
  return at.Error("field", "missing: POSITION, VELOCITY or CONSTRAINT_FORCE");
}

absl::StatusOr<Reader> Site(const v1::SiteValue& value, const Located& at, const mjModel* model,
                            Quantities* all) {
  ASSIGN_OR_RETURN(const int site, FindElement(model, mjOBJ_SITE, value.name(), at, "name"));
  if (value.field() == v1::SiteValue::FIELD_UNSPECIFIED) {
    return at.Error("field", "missing: X, Y or Z");
  }
  all->needs_positions = true;
  const int index = 3 * site + value.field() - v1::SiteValue::X;
  return [index](const Moment& m) { return m.data->site_xpos[index]; };
}

absl::StatusOr<Reader> Sensor(const v1::SensorValue& value, const Located& at, const mjModel* model,
                              Quantities* all) {
  ASSIGN_OR_RETURN(const int sensor, FindElement(model, mjOBJ_SENSOR, value.name(), at, "name"));
  if (value.index() < 0 || value.index() >= model->sensor_dim[sensor]) {
    return at.Error("index", absl::StrCat("is ", value.index(), "; the sensor has ",
                                          model->sensor_dim[sensor], " numbers"));
  }
  all->needs_everything = true;
  const int index = model->sensor_adr[sensor] + value.index();
  return [index](const Moment& m) { return m.data->sensordata[index]; };
}

// Gives the geoms that are named, by themselves or by their bodies, the value.
template <typename Names>
absl::Status Mark(const mjModel* model, const Names& geoms, const Names& bodies, const Located& at,
                  const std::string& prefix, char value, std::vector<char>* marks) {
  for (int i = 0; i < geoms.size(); ++i) {
    ASSIGN_OR_RETURN(const int geom,
                     FindElement(model, mjOBJ_GEOM, geoms[i], at, absl::StrCat(prefix, "geom"), i));
    (*marks)[geom] = value;
  }
  for (int i = 0; i < bodies.size(); ++i) {
    ASSIGN_OR_RETURN(const int body, FindElement(model, mjOBJ_BODY, bodies[i], at,
                                                 absl::StrCat(prefix, "body"), i));
    for (int j = 0; j < model->body_geomnum[body]; ++j) {
      (*marks)[model->body_geomadr[body] + j] = value;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Reader> Contact(const v1::ContactValue& value, const Located& at,
                               const mjModel* model, Quantities* all) {
  if (value.geom_size() + value.body_size() == 0) {
    return at.Error("geom", "name at least one geom or body");
  }
  std::vector<char> first(model->ngeom, 0);  // per geom: whether it is of the group
  RETURN_IF_ERROR(Mark(model, value.geom(), value.body(), at, "", 1, &first));
  const bool any = value.with_geom_size() + value.with_body_size() == 0;
  std::vector<char> second(model->ngeom, any ? 1 : 0);
  RETURN_IF_ERROR(Mark(model, value.with_geom(), value.with_body(), at, "with_", 1, &second));
  RETURN_IF_ERROR(Mark(model, value.except_geom(), value.except_body(), at, "except_", 0, &second));
  all->needs_positions = all->needs_contacts = true;
  return [first = std::move(first), second = std::move(second)](const Moment& m) {
    for (int i = 0; i < m.data->ncon; ++i) {
      const int a = m.data->contact[i].geom[0], b = m.data->contact[i].geom[1];
      if (a < 0 || b < 0) continue;  // flexes
      if ((first[a] && second[b]) || (first[b] && second[a])) return 1;
    }
    return 0;
  };
}

// A control as an action in [-1, 1].
Reader ActionOf(const mjModel* model, int control) {
  const ControlRange range = ControlRangeOf(model, control);
  if (range.half == 0) return [](const Moment&) { return 0; };
  return [control, range](const Moment& m) {
    return (m.data->ctrl[control] - range.middle) / range.half;
  };
}

absl::StatusOr<Reader> Action(const v1::ActionValue& value, const Located& at,
                              const mjModel* model) {
  ASSIGN_OR_RETURN(const int actuator,
                   FindElement(model, mjOBJ_ACTUATOR, value.actuator(), at, "actuator"));
  const int controls = model->actuator_ctrlnum[actuator];
  if (value.control() < 0 || value.control() >= controls) {
    return at.Error(
        controls == 0 ? "actuator" : "control",
        absl::StrCat("is ", controls == 0 ? value.actuator() : absl::StrCat(value.control()),
                     "; the actuator takes ", controls, " controls"));
  }
  return ActionOf(model, model->actuator_ctrladr[actuator] + value.control());
}

absl::StatusOr<Reader> Power(const v1::PowerValue& value, const Located& at, const mjModel* model) {
  std::vector<int> actuators;
  for (int i = 0; i < value.actuator_size(); ++i) {
    ASSIGN_OR_RETURN(const int actuator,
                     FindElement(model, mjOBJ_ACTUATOR, value.actuator(i), at, "actuator", i));
    actuators.push_back(actuator);
  }
  const bool all_of_them = actuators.empty();
  for (int i = 0; all_of_them && i < model->nactuator; ++i) actuators.push_back(i);
  std::vector<std::pair<Reader, int>> terms;  // action, and the rate that it is multiplied with
  for (const int actuator : actuators) {
    const int type = model->actuator_trntype[actuator];
    const int joint = model->actuator_trnid[2 * actuator];
    if (model->actuator_ctrlnum[actuator] > 0 &&
        (type == mjTRN_JOINT || type == mjTRN_JOINTINPARENT) &&
        (model->jnt_type[joint] == mjJNT_HINGE || model->jnt_type[joint] == mjJNT_SLIDE)) {
      terms.emplace_back(ActionOf(model, model->actuator_ctrladr[actuator]),
                         model->jnt_dofadr[joint]);
    } else if (!all_of_them) {
      return at.Error("actuator", "takes no control, or drives no hinge and no slide");
    }
  }
  return [terms = std::move(terms)](const Moment& m) {
    double power = 0;
    for (const auto& [action, dof] : terms) power += action(m) * m.data->qvel[dof];
    return power;
  };
}

absl::StatusOr<Reader> Latch(const v1::LatchValue& value, const Located& at, mjModel* model,
                             const Quantities& all) {
  ASSIGN_OR_RETURN(const int set, all.Find(value.set(), at, "set"));
  ASSIGN_OR_RETURN(const int reset, all.Find(value.reset(), at, "reset"));
  // the model may have user data of its own
  const int memory = model->nuserdata++;
  return [set, reset, memory](const Moment& m) {
    double& latched = m.data->userdata[memory];
    if (m.values[set] != 0) {
      latched = 1;
    } else if (m.values[reset] != 0) {
      latched = 0;
    }
    return latched;
  };
}

absl::StatusOr<Reader> Rate(const std::string& of, double step_seconds, const Located& at,
                            mjModel* model, const Quantities& all) {
  ASSIGN_OR_RETURN(const int quantity, all.Find(of, at, "rate"));
  const int memory = model->nuserdata++;
  return [quantity, memory, step_seconds](const Moment& m) {
    double& rate = m.data->userdata[memory];
    if (m.before != nullptr) rate = (m.values[quantity] - m.before[quantity]) / step_seconds;
    return rate;
  };
}

absl::StatusOr<Reader> ExpressionOf(const std::string& text, const Located& at, Quantities* all) {
  std::vector<double> zeros(all->names.size());
  const auto expression = Expression::Compile(text, all->names, zeros.data());
  if (!expression.ok()) return at.Error("expression", expression.status().message());
  all->expressions.push_back(text);
  const size_t index = all->expressions.size() - 1;
  return [index](const Moment& m) { return m.expressions[index].Evaluate(); };
}

absl::StatusOr<Reader> ReaderOf(const v1::Quantity& quantity, double step_seconds,
                                const Located& at, mjModel* model, Quantities* all) {
  switch (quantity.value_case()) {
    case v1::Quantity::kBody:
      return Body(quantity.body(), at.Nested("body"), model, all);
    case v1::Quantity::kCentreOfMass:
      return CentreOfMass(quantity.centre_of_mass(), at.Nested("centre_of_mass"), model, all);
    case v1::Quantity::kJoint:
      return Joint(quantity.joint(), at.Nested("joint"), model, all);
    case v1::Quantity::kSite:
      return Site(quantity.site(), at.Nested("site"), model, all);
    case v1::Quantity::kSensor:
      return Sensor(quantity.sensor(), at.Nested("sensor"), model, all);
    case v1::Quantity::kContact:
      return Contact(quantity.contact(), at.Nested("contact"), model, all);
    case v1::Quantity::kAction:
      return Action(quantity.action(), at.Nested("action"), model);
    case v1::Quantity::kPower:
      return Power(quantity.power(), at.Nested("power"), model);
    case v1::Quantity::kLatch:
      return Latch(quantity.latch(), at.Nested("latch"), model, *all);
    case v1::Quantity::kRate:
      return Rate(quantity.rate(), step_seconds, at, model, *all);
    case v1::Quantity::kExpression:
      return ExpressionOf(quantity.expression(), at, all);
    case v1::Quantity::VALUE_NOT_SET:
      break;
  }
  return at.Error("name", "does not say what it is");  // TaskFile refuses it before
}

}  // namespace

absl::StatusOr<Quantities> Quantities::Resolve(const v1::Task& task, const Located& at,
                                               mjModel* model) {
  Quantities all;
  for (int i = 0; i < task.quantity_size(); ++i) {
    ASSIGN_OR_RETURN(Reader reader,
                     ReaderOf(task.quantity(i), task.frame_skip() * model->opt.timestep,
                              at.Nested("quantity", i), model, &all));
    all.read.push_back(std::move(reader));
    all.names.push_back(task.quantity(i).name());
  }
  return all;
}

absl::StatusOr<int> Quantities::Find(const std::string& name, const Located& at,
                                     absl::string_view field, int index) const {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<int>(found - names.begin());
  return at.Error(
      field,
      absl::StrCat("unknown quantity \"", name, "\" (known: ", absl::StrJoin(names, ", "), ")"),
      index);
}

QuantityValues::QuantityValues(const Quantities& quantities, const mjModel* model)
    : quantities_(&quantities),
      model_(model),
      values_(quantities.names.size()),
      before_(quantities.names.size()),
      warmstart_(model->nv) {}

absl::StatusOr<QuantityValues> QuantityValues::Create(const Quantities& quantities,
                                                      const mjModel* model) {
  QuantityValues result(quantities, model);
  for (const std::string& text : quantities.expressions) {
    ASSIGN_OR_RETURN(Expression expression,
                     Expression::Compile(text, quantities.names, result.values()));
    result.expressions_.push_back(std::move(expression));
  }
  return result;
}

void QuantityValues::Derive(mjData* data) {
  // after mj_step, all that MuJoCo derived is of an earlier moment
  if (quantities_->needs_everything) {
    // mj_forward leaves a new warm start behind; a restored state would differ
    std::copy_n(data->qacc_warmstart, model_->nv, warmstart_.data());
    mj_forward(model_, data);
    std::copy_n(warmstart_.data(), model_->nv, data->qacc_warmstart);
  } else if (quantities_->needs_positions) {
    mj_kinematics(model_, data);
    if (quantities_->needs_velocities) {
      mj_comPos(model_, data);
      mj_comVel(model_, data);
    }
    if (quantities_->needs_contacts) mj_collision(model_, data);
  }
  if (quantities_->needs_centre_velocities) mj_subtreeVel(model_, data);
}

absl::Status QuantityValues::Update(bool after_step, int step, mjData* data) {
  RETURN_IF_ERROR(CatchMujocoErrors([&] { Derive(data); }));
  before_ = values_;
  const Moment moment{model_, data, values_.data(), after_step ? before_.data() : nullptr,
                      expressions_.data()};
  for (size_t i = 0; i < values_.size(); ++i) {
    values_[i] = quantities_->read[i](moment);
    if (!std::isfinite(values_[i])) {
      return absl::OutOfRangeError(absl::StrCat("quantity \"", quantities_->names[i], "\" is ",
                                                values_[i], " after step ", step));
    }
  }
  return absl::OkStatus();
}

}  // namespace backflip::sim
