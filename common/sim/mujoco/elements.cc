#include "common/sim/mujoco/elements.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace backflip::sim {
namespace {

// what MuJoCo calls an element of the type, and how many the model has
struct ElementType {
  const char* name;
  int count;
};

ElementType TypeOf(const mjModel* model, mjtObj type) {
  switch (type) {
    case mjOBJ_BODY:
      return {"body", static_cast<int>(model->nbody)};
    case mjOBJ_JOINT:
      return {"joint", static_cast<int>(model->njnt)};
    case mjOBJ_GEOM:
      return {"geom", static_cast<int>(model->ngeom)};
    case mjOBJ_SITE:
      return {"site", static_cast<int>(model->nsite)};
    case mjOBJ_SENSOR:
      return {"sensor", static_cast<int>(model->nsensor)};
    case mjOBJ_ACTUATOR:
      return {"actuator", static_cast<int>(model->nactuator)};
    default:
      return {"keyframe", static_cast<int>(model->nkey)};
  }
}

}  // namespace

absl::StatusOr<int> FindElement(const mjModel* model, mjtObj type, const std::string& name,
                                const Located& at, absl::string_view field, int index) {
  const int id = name.empty() ? -1 : mj_name2id(model, type, name.c_str());
  if (id >= 0) return id;
  const ElementType known_type = TypeOf(model, type);
  std::vector<std::string> names;
  for (int i = 0; i < known_type.count && names.size() < 40; ++i) {
    const char* known = mj_id2name(model, type, i);
    if (known != nullptr && *known != '\0') names.push_back(known);
  }
  return at.Error(
      field,
      absl::StrCat("the model has no ", known_type.name, " \"", name,
                   "\" (named ones: ", names.empty() ? "none" : absl::StrJoin(names, ", "), ")"),
      index);
}

absl::StatusOr<int> FindScalarJoint(const mjModel* model, const std::string& name,
                                    const Located& at, absl::string_view field, int index) {
  ASSIGN_OR_RETURN(const int joint, FindElement(model, mjOBJ_JOINT, name, at, field, index));
  if (model->jnt_type[joint] != mjJNT_HINGE && model->jnt_type[joint] != mjJNT_SLIDE) {
    return at.Error(field, absl::StrCat("joint \"", name, "\" is no hinge and no slide"), index);
  }
  return joint;
}

bool HasControlRange(const mjModel* model, int control) {
  const mjtNum* range = model->actuator_ctrlrange + 2 * control;
  return model->actuator_ctrllimited[control] && std::abs(range[0]) <= mjMAXVAL &&
         std::abs(range[1]) <= mjMAXVAL;
}

ControlRange ControlRangeOf(const mjModel* model, int control) {
  if (!HasControlRange(model, control)) return {0, 1};
  const double low = model->actuator_ctrlrange[2 * control];
  const double high = model->actuator_ctrlrange[2 * control + 1];
  return {0.5 * (low + high), 0.5 * (high - low)};
}

}  // namespace backflip::sim
