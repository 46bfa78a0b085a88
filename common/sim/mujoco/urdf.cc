#include "common/sim/mujoco/urdf.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/model_files.h"
#include "common/sim/mujoco/model_xml.h"
#include "common/sim/mujoco/mujoco_handles.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;

struct DeleteSpec {
  void operator()(mjSpec* spec) const { mj_deleteSpec(spec); }
};
using SpecPtr = std::unique_ptr<mjSpec, DeleteSpec>;

constexpr size_t kMostShown = 200;  // of what a file names, bytes
constexpr int kMaxMjcfBytes = 16 << 20;
constexpr double kClearance = 0.001;  // between robot and floor at first, metres

// The file that a URDF file in `folder` names, relative to it; empty: there is none.
std::string FindMesh(const fs::path& folder, const std::string& mesh_folder,
                     absl::string_view named) {
  const bool in_package = absl::ConsumePrefix(&named, "package://");
  absl::ConsumePrefix(&named, "file://");
  const std::string with_package(named);
  const std::string without = with_package.substr(in_package ? with_package.find('/') + 1 : 0);
  const auto is_there = [&](const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(folder / path, ignored);
  };
  const auto from_folder = [&](const fs::path& path) {
    return (folder / path).lexically_normal().lexically_relative(folder).string();
  };
  if (absl::StartsWith(without, "/") && is_there(without)) {
    return from_folder(without);
  }
  fs::path up;
  for (int i = 0; i <= kFoldersUp; ++i, up /= "..") {
    for (const fs::path& path :
         {fs::path(with_package), fs::path(without), fs::path(mesh_folder) / without}) {
      if (path.is_relative() && is_there(up / path)) {
        return from_folder(up / path);
      }
    }
  }
  const fs::path last = fs::path(without).filename();
  for (const fs::path& path : {last, fs::path(mesh_folder) / last}) {
    if (path.is_relative() && is_there(path)) return from_folder(path);
  }
  return "";
}

void Replace(std::string* text, XmlTag where, absl::string_view with) {
  text->replace(where.begin, where.end - where.begin, std::string(with));
}

// Lets MuJoCo take meshes by the paths that FindMesh gives, and read what it would leave out. What
// else the file's own <mujoco> says stays. Returns its folder of meshes; empty: none.
std::string TakeMeshFolder(std::string* urdf) {
  std::string mesh_folder;
  if (const XmlTag compiler = FindTag(*urdf, "compiler"); compiler) {
    const XmlTag stripped = FindAttribute(*urdf, compiler, "strippath");
    if (stripped) Replace(urdf, stripped, "false");
    const XmlTag tag = FindTag(*urdf, "compiler");
    mesh_folder = AttributeOf(*urdf, tag, "meshdir");
    if (const XmlTag value = FindAttribute(*urdf, tag, "meshdir"); value) Replace(urdf, value, "");
    if (!stripped) urdf->insert(tag.begin + 9, " strippath='false'");
    return mesh_folder;
  }
  const std::string kCompiler =
      "<compiler strippath='false' discardvisual='false' balanceinertia='true' boundmass='1e-6' "
      "boundinertia='1e-9'/>";
  if (const XmlTag own = FindTag(*urdf, "mujoco"); own && (*urdf)[own.end - 2] != '/') {
    urdf->insert(own.end, kCompiler);
    return "";
  } else if (own) {
    Replace(urdf, own, "");
  }
  if (const XmlTag robot = FindTag(*urdf, "robot"); robot) {
    urdf->insert(robot.end, absl::StrCat("<mujoco>", kCompiler, "</mujoco>"));
  }
  return "";
}

bool IsReadable(absl::string_view mesh) {
  const std::string kind = absl::AsciiStrToLower(fs::path(std::string(mesh)).extension().string());
  return kind == ".stl" || kind == ".obj" || kind == ".msh";
}

// Leaves out what is only seen of links, where it is a mesh that MuJoCo cannot read and the link
// has a shape to collide with.
void LeaveOutUnreadable(std::string* urdf, std::vector<std::string>* remarks) {
  std::set<std::string> left_out;
  size_t at = 0;
  for (XmlTag link; (link = FindTag(*urdf, "link", at)); at = link.end) {
    size_t end = ElementEnd(*urdf, "link", link);
    const XmlTag shape = FindTag(*urdf, "collision", link.end);
    if (!shape || shape.begin > end) continue;
    size_t inner = link.end;
    for (XmlTag seen; (seen = FindTag(*urdf, "visual", inner)) && seen.begin < end;) {
      const size_t seen_end = ElementEnd(*urdf, "visual", seen);
      const XmlTag mesh = FindTag(*urdf, "mesh", seen.end);
      const std::string file =
          mesh && mesh.begin < seen_end ? AttributeOf(*urdf, mesh, "filename") : "";
      inner = seen_end;
      if (file.empty() || IsReadable(file)) continue;
      left_out.insert(fs::path(file).filename().string());
      Replace(urdf, {seen.begin, seen_end}, "");
      inner = seen.begin;
      end -= seen_end - seen.begin;
    }
  }
  if (left_out.empty()) return;
  remarks->push_back(absl::StrCat(
      "links are shown by their collision shapes, since MuJoCo reads meshes as STL, OBJ and MSH "
      "only; left out: ",
      absl::StrJoin(left_out, ", ")));
}

// With paths as MuJoCo takes them, and what its reader would otherwise leave out.
absl::StatusOr<std::string> Prepare(const fs::path& folder, std::string urdf,
                                    std::vector<std::string>* remarks) {
  const std::string mesh_folder = TakeMeshFolder(&urdf);
  LeaveOutUnreadable(&urdf, remarks);
  size_t at = 0;
  for (XmlTag mesh; (mesh = FindTag(urdf, "mesh", at)); at = mesh.begin + 1) {
    const XmlTag value = FindAttribute(urdf, mesh, "filename");
    if (!value) continue;
    const std::string named = urdf.substr(value.begin, value.end - value.begin);
    const std::string found = FindMesh(folder, mesh_folder, named);
    if (found.empty()) {
      return absl::NotFoundError(absl::StrCat("there is no mesh ", named.substr(0, kMostShown),
                                              ", neither by its path nor in ", folder.string(),
                                              " or up to ", kFoldersUp, " folders above it"));
    }
    std::string begin(kMostShown, '\0');
    std::ifstream(folder / found, std::ios::binary).read(begin.data(), kMostShown);
    if (IsLfsPointer(begin)) return LfsPointerError(found);
    Replace(&urdf, value, found);
  }
  return urdf;
}

// The values of an attribute of all elements of a name, in their order.
std::vector<std::string> Values(const std::string& urdf, absl::string_view element,
                                absl::string_view attribute) {
  std::vector<std::string> values;
  size_t at = 0;
  for (XmlTag tag; (tag = FindTag(urdf, element, at)); at = tag.end) {
    std::string value = AttributeOf(urdf, tag, attribute);
    if (!value.empty()) values.push_back(std::move(value));
  }
  return values;
}

// The first of several links, or joints, with one name.
absl::Status CheckNames(const std::string& urdf) {
  for (const char* element : {"link", "joint"}) {
    std::set<std::string> names;
    for (const std::string& name : Values(urdf, element, "name")) {
      if (names.insert(name).second) continue;
      return absl::InvalidArgumentError(absl::StrCat("there are two of <", element, " name=\"",
                                                     name.substr(0, kMostShown),
                                                     "\">: give each a name of its own"));
    }
  }
  return absl::OkStatus();
}

// Lets the first link move freely in the world.
std::string SetFree(std::string urdf) {
  std::set<std::string> links;
  for (const std::string& link : Values(urdf, "link", "name")) links.insert(link);
  for (const std::string& child : Values(urdf, "child", "link")) links.erase(child);
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

// Whether the file itself lets a link move in the world: a joint of type floating, or planar.
bool MovesInTheWorld(const mjModel* model) {
  for (int body = 1; body < model->nbody; ++body) {
    if (model->body_parentid[body] == 0 && model->body_dofnum[body] >= 3) return true;
  }
  return false;
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
  const fs::path folder = fs::absolute(path).lexically_normal().parent_path();
  const std::string read = WithoutComments(text);
  if (absl::StrContains(read, "<xacro:")) {
    return absl::InvalidArgumentError(
        "is written in xacro: expand it first, `xacro FILE > robot.urdf`");
  }
  RETURN_IF_ERROR(CheckNames(read));
  ASSIGN_OR_RETURN(std::string urdf, Prepare(folder, read, remarks));
  SpecPtr spec;
  ModelPtr model;
  const auto compile = [&]() -> absl::Status {
    char error[1000] = "";
    spec.reset(mj_parseXMLString(urdf.c_str(), nullptr, error, sizeof(error)));
    if (spec == nullptr) return absl::InvalidArgumentError(MujocoSentence(error));
    mjs_setString(spec->modelfiledir, absl::StrCat(folder.string(), "/").c_str());
    model.reset(mj_compile(spec.get(), nullptr));
    if (model != nullptr) return absl::OkStatus();
    return absl::InvalidArgumentError(MujocoSentence(mjs_getError(spec.get())));
  };
  RETURN_IF_ERROR(compile());
  // an arm is one chain; what has legs or wheels has more
  const int chains = static_cast<int>(
      std::count(model->body_parentid + 1, model->body_parentid + model->nbody, 0));
  const bool is_free = chains > 1 && !absl::c_linear_search(Values(urdf, "link", "name"), "world");
  if (!MovesInTheWorld(model.get()))
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
  if (model == nullptr) {
    return absl::InvalidArgumentError(MujocoSentence(mjs_getError(spec.get())));
  }
  std::string mjcf(kMaxMjcfBytes, '\0');
  char error[1000] = "";
  if (mj_saveXMLString(spec.get(), mjcf.data(), kMaxMjcfBytes, error, sizeof(error)) != 0) {
    return absl::InvalidArgumentError(error);
  }
  mjcf.resize(mjcf.find('\0'));
  return mjcf;
}

}  // namespace backflip::sim
