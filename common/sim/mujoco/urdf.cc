#include "common/sim/mujoco/urdf.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <regex>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/mujoco_handles.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;

struct DeleteSpec {
  void operator()(mjSpec* spec) const { mj_deleteSpec(spec); }
};
using SpecPtr = std::unique_ptr<mjSpec, DeleteSpec>;

constexpr int kPackageFoldersUp = 4;
constexpr int kMaxMjcfBytes = 16 << 20;
constexpr double kClearance = 0.001;  // between robot and floor at first, metres

// Where a mesh of a URDF file in `folder` is, relative to it; as it is, where it cannot be found.
std::string FindMesh(const fs::path& folder, absl::string_view named) {
  const bool in_package = absl::ConsumePrefix(&named, "package://");
  absl::ConsumePrefix(&named, "file://");
  const std::string with_package(named);
  const std::string without = with_package.substr(in_package ? with_package.find('/') + 1 : 0);
  std::error_code ignored;
  fs::path up;
  for (int i = 0; i <= kPackageFoldersUp; ++i, up /= "..") {
    for (const std::string& path : {with_package, without}) {
      if (fs::is_regular_file(folder / up / path, ignored)) return (up / path).string();
    }
  }
  const std::string last = fs::path(without).filename().string();
  return fs::is_regular_file(folder / last, ignored) ? last : without;
}

// A regular expression's stack would not hold a long comment.
std::string WithoutComments(const std::string& text) {
  std::string rest;
  for (size_t at = 0;;) {
    const size_t begin = text.find("<!--", at);
    rest.append(text, at, begin - at);
    const size_t end = begin == text.npos ? begin : text.find("-->", begin + 4);
    if (end == text.npos) return rest;
    at = end + 3;
  }
}

// With paths as MuJoCo takes them, and what its reader would otherwise leave out.
std::string Prepare(const fs::path& folder, const std::string& read) {
  static const std::regex mesh("(<mesh[^>]*filename\\s*=\\s*[\"'])([^\"']*)");
  std::string result;
  auto end = read.cbegin();
  for (std::sregex_iterator match(read.begin(), read.end(), mesh), none; match != none; ++match) {
    result.append(end, (*match)[2].first);
    result += FindMesh(folder, (*match)[2].str());
    end = (*match)[2].second;
  }
  result.append(end, read.cend());
  if (absl::StrContains(result, "<mujoco")) return result;
  return result.insert(result.find('>', result.find("<robot")) + 1,
                       "<mujoco><compiler strippath='false' discardvisual='false' "
                       "balanceinertia='true' boundmass='1e-6' boundinertia='1e-9'/></mujoco>");
}

// The names that a pattern's only group matches.
std::set<std::string> Names(const std::string& urdf, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> names;
  for (std::sregex_iterator match(urdf.begin(), urdf.end(), regex), none; match != none; ++match) {
    names.insert((*match)[1]);
  }
  return names;
}

// Lets the first link move freely in the world.
std::string SetFree(std::string urdf) {
  std::set<std::string> links = Names(urdf, "<link[^>]*name\\s*=\\s*[\"']([^\"']*)");
  for (const std::string& child : Names(urdf, "<child[^>]*link\\s*=\\s*[\"']([^\"']*)")) {
    links.erase(child);
  }
  if (links.size() != 1) return urdf;
  return urdf.insert(urdf.rfind("</robot"),
                     absl::StrCat("<link name='world'/><joint name='free_base' type='floating'>"
                                  "<parent link='world'/><child link='",
                                  *links.begin(), "'/></joint>"));
}

// A motor for each hinge and slide, whose control of ±1 is the joint's effort limit.
void AddMotors(mjSpec* spec, std::vector<std::string>* remarks) {
  std::string unlimited;
  for (mjsElement* e = mjs_firstElement(spec, mjOBJ_JOINT); e != nullptr;
       e = mjs_nextElement(spec, e)) {
    const mjsJoint* joint = mjs_asJoint(e);
    if (joint->type != mjJNT_HINGE && joint->type != mjJNT_SLIDE) continue;
    const std::string name = mjs_getString(mjs_getName(e));
    mjsActuator* motor = mjs_addActuator(spec, nullptr);
    mjs_setToMotor(motor);
    mjs_setName(motor->element, name.c_str());
    motor->trntype = mjTRN_JOINT;
    mjs_setString(motor->target, name.c_str());
    motor->ctrllimited = mjLIMITED_TRUE;
    motor->ctrlrange[0] = -1;
    motor->ctrlrange[1] = 1;
    const double effort = std::max(-joint->actfrcrange[0], joint->actfrcrange[1]);
    motor->gear[0] = effort > 0 ? effort : 1;
    if (effort <= 0) absl::StrAppend(&unlimited, unlimited.empty() ? "" : ", ", name);
  }
  if (!unlimited.empty()) {
    remarks->push_back(absl::StrCat("without an effort limit in the URDF, motors have 1 N or N·m: ",
                                    unlimited, ". Change `gear` in the model"));
  }
}

// Where links have shapes to be seen, those to collide with are not drawn.
void HideCollisions(mjSpec* spec, const mjModel* model) {
  if (std::count(model->geom_contype, model->geom_contype + model->ngeom, 0) == 0) return;
  for (mjsElement* e = mjs_firstElement(spec, mjOBJ_GEOM); e != nullptr;
       e = mjs_nextElement(spec, e)) {
    if (mjs_asGeom(e)->contype != 0) mjs_asGeom(e)->group = 3;
  }
}

// The lowest point of all geoms in the model's own pose, metres.
double LowestPoint(const mjModel* model) {
  const DataPtr data(mj_makeData(model));
  mj_kinematics(model, data.get());
  double lowest = 1e9;
  for (int geom = 0; geom < model->ngeom; ++geom) {
    if (model->geom_type[geom] == mjGEOM_PLANE) continue;
    const mjtNum *box = model->geom_aabb + 6 * geom, *axes = data->geom_xmat + 9 * geom;
    double low = data->geom_xpos[3 * geom + 2];
    for (int i = 0; i < 3; ++i) {
      low += axes[6 + i] * box[i] - std::abs(axes[6 + i]) * box[3 + i];
    }
    lowest = std::min(lowest, low);
  }
  return lowest < 1e9 ? lowest : 0;
}

}  // namespace

bool IsUrdf(absl::string_view text) {
  for (size_t at = text.find('<'); at != text.npos; at = text.find('<', at + 1)) {
    if (absl::StartsWith(text.substr(at), "<!--")) {
      at = text.find("-->", at);
      if (at == text.npos) return false;
    } else if (!absl::StartsWith(text.substr(at), "<?") &&
               !absl::StartsWith(text.substr(at), "<!")) {
      return absl::StartsWith(text.substr(at), "<robot");
    }
  }
  return false;
}

absl::StatusOr<std::string> MjcfOfUrdf(const std::string& path, const std::string& text,
                                       std::vector<std::string>* remarks) {
  const fs::path folder = fs::absolute(path).parent_path();
  const std::string read = WithoutComments(text);
  if (absl::StrContains(read, "<xacro:")) {
    return absl::InvalidArgumentError(
        "is written in xacro: expand it first, `xacro FILE > robot.urdf`");
  }
  std::string urdf = Prepare(folder, read);
  SpecPtr spec;
  ModelPtr model;
  const auto compile = [&]() -> absl::Status {
    char error[1000] = "";
    spec.reset(mj_parseXMLString(urdf.c_str(), nullptr, error, sizeof(error)));
    if (spec == nullptr) return absl::InvalidArgumentError(error);
    mjs_setString(spec->modelfiledir, absl::StrCat(folder.string(), "/").c_str());
    model.reset(mj_compile(spec.get(), nullptr));
    return model == nullptr ? absl::InvalidArgumentError(mjs_getError(spec.get()))
                            : absl::OkStatus();
  };
  RETURN_IF_ERROR(compile());
  // an arm is one chain; what has legs or wheels has more
  const int chains = static_cast<int>(
      std::count(model->body_parentid + 1, model->body_parentid + model->nbody, 0));
  const bool is_free =
      chains > 1 && Names(urdf, "<link[^>]*name\\s*=\\s*[\"'](world)[\"']").empty();
  remarks->emplace_back(
      is_free ? "the URDF's first link is free to move; a link named `world` with a "
                "joint of type fixed would hold it"
              : "the URDF's first link is fixed to the world; a link named `world` with "
                "a joint of type floating would let it move");
  if (is_free) {
    urdf = SetFree(std::move(urdf));
    RETURN_IF_ERROR(compile());
  }
  AddMotors(spec.get(), remarks);
  HideCollisions(spec.get(), model.get());
  mjsBody* const world = mjs_findBody(spec.get(), "world");
  const double lowest = LowestPoint(model.get());
  mjsGeom* const floor = mjs_addGeom(world, nullptr);
  floor->type = mjGEOM_PLANE;
  floor->size[2] = 1;
  if (!is_free) {
    floor->pos[2] = lowest;
  } else if (mjsElement* const base = mjs_firstChild(world, mjOBJ_BODY, 0); base != nullptr) {
    mjs_asBody(base)->pos[2] -= lowest - kClearance;
  }
  model.reset(mj_compile(spec.get(), nullptr));
  if (model == nullptr) return absl::InvalidArgumentError(mjs_getError(spec.get()));
  std::string mjcf(kMaxMjcfBytes, '\0');
  char error[1000] = "";
  if (mj_saveXMLString(spec.get(), mjcf.data(), kMaxMjcfBytes, error, sizeof(error)) != 0) {
    return absl::InvalidArgumentError(error);
  }
  mjcf.resize(mjcf.find('\0'));
  return mjcf;
}

}  // namespace backflip::sim
