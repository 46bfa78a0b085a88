#include "common/sim/mujoco/scene.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/glb_writer.h"
#include "common/sim/mujoco/mujoco_task.h"
#include "common/sim/mujoco/robot.h"
#include "common/sim/mujoco/shapes.h"
#include "common/sim/mujoco/soft_meshes.h"

namespace backflip::sim {
namespace {

using Json = GlbWriter::Json;

// How coarse a scene is: triangles of all meshes together, and round shapes. Each try is coarser.
struct Coarseness {
  size_t triangles;
  Fineness round;
};
constexpr std::array<Coarseness, 9> kTries = {{{48'000, {24, 8}},
                                               {32'000, {24, 8}},
                                               {24'000, {16, 5}},
                                               {16'000, {16, 5}},
                                               {12'000, {12, 4}},
                                               {8'000, {12, 4}},
                                               {4'000, {8, 3}},
                                               {2'000, {8, 2}},
                                               {1'000, {6, 2}}}};
constexpr double kLevel = 0.999;  // least cosine between a floor's normal and the vertical

// A geom or a site, in the frame of its body.
struct Part {
  int body, type, data;
  const mjtNum *size, *position, *orientation;
  std::array<float, 4> rgba;
};

std::vector<Part> VisibleParts(const mjModel* m) {
  const VisibleGroups groups(m);
  std::vector<Part> parts;
  for (int i = 0; i < m->ngeom; ++i) {
    if (!groups.Show(m->geom_group[i])) continue;
    parts.push_back({m->geom_bodyid[i], m->geom_type[i], m->geom_dataid[i], m->geom_size + 3 * i,
                     m->geom_pos + 3 * i, m->geom_quat + 4 * i,
                     ColourOf(m, m->geom_rgba + 4 * i, m->geom_matid[i])});
  }
  for (int i = 0; i < m->nsite; ++i) {
    if (!groups.Show(m->site_group[i])) continue;
    parts.push_back({m->site_bodyid[i], m->site_type[i], -1, m->site_size + 3 * i,
                     m->site_pos + 3 * i, m->site_quat + 4 * i,
                     ColourOf(m, m->site_rgba + 4 * i, m->site_matid[i])});
  }
  parts.erase(std::remove_if(parts.begin(), parts.end(),
                             [](const Part& part) { return part.rgba[3] <= 0; }),
              parts.end());
  return parts;
}

bool HasMesh(const Part& part) {
  return part.type == mjGEOM_MESH || part.type == mjGEOM_SDF || part.type == mjGEOM_HFIELD;
}

// Shapes of one scene, each written once: equal parts share it, and what differs by a scale does.
class Shapes {
 public:
  struct Shape {
    int id;
    std::array<double, 3> scale;
  };

  Shapes(const mjModel* model, const Coarseness& coarseness, double share, GlbWriter* writer)
      : model_(model), coarseness_(coarseness), share_(share), writer_(writer) {}

  // Nothing for what has no shape of its own: planes.
  std::optional<Shape> Of(const Part& part) {
    const mjtNum* size = part.size;
    switch (part.type) {
      case mjGEOM_SPHERE:
        return Shape{Known(mjGEOM_SPHERE, 0), {size[0], size[0], size[0]}};
      case mjGEOM_ELLIPSOID:
        return Shape{Known(mjGEOM_SPHERE, 0), {size[0], size[1], size[2]}};
      case mjGEOM_CAPSULE:
        return Shape{Known(mjGEOM_CAPSULE, size[1] / size[0]), {size[0], size[0], size[0]}};
      case mjGEOM_CYLINDER:
        return Shape{Known(mjGEOM_CYLINDER, 0), {size[0], size[0], size[1]}};
      case mjGEOM_BOX:
        return Shape{Known(mjGEOM_BOX, 0), {size[0], size[1], size[2]}};
      case mjGEOM_MESH:
      case mjGEOM_SDF:
      case mjGEOM_HFIELD:
        return Shape{Known(part.type == mjGEOM_SDF ? mjGEOM_MESH : part.type, part.data),
                     {1, 1, 1}};
      default:
        return std::nullopt;
    }
  }

  // Simplified by the share that all meshes are.
  void Simplify(Mesh* mesh) const {
    sim::Simplify(static_cast<size_t>(std::ceil(share_ * mesh->indices.size() / 3)), mesh);
  }

 private:
  int Known(int type, double parameter) {
    const auto [known, added] = known_.emplace(std::pair(type, parameter), 0);
    if (added) known->second = writer_->AddShape(Make(type, parameter));
    return known->second;
  }

  Mesh Make(int type, double parameter) const {
    if (type == mjGEOM_SPHERE) return Capsule(0, coarseness_.round);
    if (type == mjGEOM_CAPSULE) return Capsule(parameter, coarseness_.round);
    if (type == mjGEOM_CYLINDER) return Cylinder(coarseness_.round);
    if (type == mjGEOM_BOX) return Cube();
    const int id = static_cast<int>(parameter);
    Mesh mesh = type == mjGEOM_HFIELD ? HeightField(model_, id) : ModelMesh(model_, id);
    Simplify(&mesh);
    return mesh;
  }

  const mjModel* const model_;
  const Coarseness coarseness_;
  const double share_;
  GlbWriter* const writer_;
  std::map<std::pair<int, double>, int> known_;
};

Json Rotation(const mjtNum* q) { return {q[1], q[2], q[3], q[0]}; }

// The planes among the parts, and in `ground` which of them shadows fall on.
Json Floors(const mjModel* m, const std::vector<Part>& parts, const mjData* data,
            const Robot& robot, Json* ground) {
  double lowest = 0;
  const std::vector<Point> corners = RobotCorners(m, data, robot);
  for (const Point& corner : corners) {
    lowest = &corner == &corners[0] ? corner[2] : std::min(lowest, corner[2]);
  }
  Json floors = Json::array();
  std::pair<bool, double> best = {false, 0};  // whether it is below the robot, and how high
  for (const Part& part : parts) {
    if (part.type != mjGEOM_PLANE) continue;
    const bool fixed = m->body_weldid[part.body] == 0 && m->body_mocapid[part.body] < 0;
    mjtNum position[3], orientation[4], normal[3];
    std::copy_n(part.position, 3, position);
    std::copy_n(part.orientation, 4, orientation);
    if (fixed) {
      mju_rotVecQuat(position, part.position, data->xquat + 4 * part.body);
      mju_addTo3(position, data->xpos + 3 * part.body);
      mju_mulQuat(orientation, data->xquat + 4 * part.body, part.orientation);
    }
    const mjtNum up[3] = {0, 0, 1};
    mju_rotVecQuat(normal, up, orientation);
    const bool level = fixed && normal[2] > kLevel;
    Json floor = {{"body", fixed ? -1 : part.body - 1},
                  {"position", {position[0], position[1], position[2]}},
                  {"rotation", Rotation(orientation)},
                  {"size", {part.size[0], part.size[1]}}};
    if (!level && part.size[0] > 0 && part.size[1] > 0) floor["colour"] = part.rgba;
    if (level) {
      const std::pair<bool, double> candidate = {position[2] < lowest + 0.02, position[2]};
      if (ground->is_null() || candidate > best) {
        best = candidate;
        *ground = floors.size();
      }
    }
    floors.push_back(std::move(floor));
  }
  return floors;
}

std::string Write(const MujocoTask& task, const std::vector<Part>& parts,
                  std::vector<SoftMesh> soft, const Coarseness& coarseness) {
  const mjModel* model = task.model();
  std::map<std::pair<int, int>, size_t> meshes;  // triangles of each that is written
  for (const Part& part : parts) {
    if (!HasMesh(part)) continue;
    meshes[{part.type, part.data}] =
        part.type == mjGEOM_HFIELD
            ? 2 * static_cast<size_t>(model->hfield_nrow[part.data]) * model->hfield_ncol[part.data]
            : model->mesh_facenum[part.data];
  }
  size_t wanted = 1;
  for (const auto& [mesh, triangles] : meshes) wanted += triangles;
  for (const SoftMesh& each : soft) wanted += each.mesh.indices.size() / 3;
  GlbWriter writer;
  Shapes shapes(model, coarseness,
                std::min(1.0, static_cast<double>(coarseness.triangles) / wanted), &writer);

  std::vector<Json> bodies(model->nbody, Json::object());
  for (const Part& part : parts) {
    const auto shape = shapes.Of(part);
    if (!shape.has_value()) continue;
    bodies[part.body]["children"].push_back(
        writer.AddNode({{"mesh", writer.MeshOf(shape->id, part.rgba)},
                        {"translation", {part.position[0], part.position[1], part.position[2]}},
                        {"rotation", Rotation(part.orientation)},
                        {"scale", shape->scale}}));
  }
  Json root = {{"name", "root"}, {"rotation", {-std::sqrt(0.5), 0, 0, std::sqrt(0.5)}}};
  std::vector<int> nodes(model->nbody);
  for (int body = 1; body < model->nbody; ++body) {
    bodies[body]["name"] = absl::StrCat("body", body);
    nodes[body] = writer.AddNode(std::move(bodies[body]));
    root["children"].push_back(nodes[body]);
  }
  // what hangs on the world, which is a node of its own: bones name it before it is there
  const int fixed = writer.AddNode({{"name", "fixed"}});
  nodes[0] = fixed;
  for (SoftMesh& each : soft) {
    shapes.Simplify(&each.mesh);
    std::vector<int> bones;
    for (const int body : each.bodies) bones.push_back(nodes[body]);
    const int mesh = writer.MeshOf(writer.AddShape(each.mesh), each.rgba, /*both_sides=*/true);
    bodies[0]["children"].push_back(
        writer.AddNode({{"mesh", mesh}, {"skin", writer.AddSkin(bones, each.inverse_binds)}}));
  }
  bodies[0]["name"] = "world";
  bodies[0]["children"].push_back(fixed);
  root["children"].push_back(writer.AddNode(std::move(bodies[0])));

  const DataPtr data(mj_makeData(model));
  if (task.keyframe() >= 0) mj_resetDataKeyframe(model, data.get(), task.keyframe());
  mj_kinematics(model, data.get());
  Json ground;
  Json floors = Floors(model, parts, data.get(), RobotOf(model), &ground);
  const v1::Camera& camera = task.task().camera();
  Json look = {{"track", task.tracked_body() - 1},
               {"distance", camera.distance()},
               {"azimuth", camera.azimuth()},
               {"elevation", camera.elevation()},
               {"height", camera.has_height() ? Json(camera.height()) : Json()}};
  return writer.Finish({{"nodes", Json::array({writer.AddNode(std::move(root))})},
                        {"extras",
                         {{"floors", std::move(floors)},
                          {"ground", std::move(ground)},
                          {"camera", std::move(look)}}}});
}

}  // namespace

absl::StatusOr<std::string> SceneGlb(const Task& task) {
  ASSIGN_OR_RETURN(const MujocoTask* const mujoco, MujocoTask::Of(task));
  const std::vector<Part> parts = VisibleParts(mujoco->model());
  const std::vector<SoftMesh> soft = SoftMeshes(mujoco->model());
  size_t size = 0;
  for (const Coarseness& coarseness : kTries) {
    std::string glb = Write(*mujoco, parts, soft, coarseness);
    if (glb.size() <= kMaxSceneBytes) return glb;
    size = glb.size();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the scene of task ", task.name(), " takes ", size,
                   " bytes with its meshes simplified, and at most ", kMaxSceneBytes,
                   " are allowed: give the model fewer visible geoms (groups 0 to 2)"));
}

std::vector<std::string> LeftOut(const Task& task) {
  std::vector<std::string> sentences;
  const auto mujoco = MujocoTask::Of(task);
  if (!mujoco.ok()) return sentences;
  const mjModel* model = (*mujoco)->model();
  for (int i = 0; i < model->nflex; ++i) {
    if (!DeformedByNodes(model, i)) continue;
    const char* name = mj_id2name(model, mjOBJ_FLEX, i);
    sentences.push_back(absl::StrCat("people will not see flex ", name == nullptr ? "" : name,
                                     ", which is deformed by nodes (dof=\"trilinear\" and the "
                                     "like): the pages draw flexes whose vertices are bodies"));
  }
  for (int i = 0; i < model->ntendon; ++i) {
    const int *type = model->wrap_type + model->tendon_adr[i], *end = type + model->tendon_num[i];
    if (std::none_of(type, end, [](int t) { return t == mjWRAP_SPHERE || t == mjWRAP_CYLINDER; })) {
      continue;
    }
    sentences.emplace_back("people see tendons run straight from site to site, not around geoms");
    break;
  }
  for (int i = 0; i < model->ngeom; ++i) {
    const int material = model->geom_matid[i];
    if (material < 0 || model->geom_type[i] == mjGEOM_PLANE) continue;
    const int* textures = model->mat_texid + mjNTEXROLE * material;
    if (std::all_of(textures, textures + mjNTEXROLE, [](int id) { return id < 0; })) continue;
    sentences.emplace_back("people see colours, not textures");
    break;
  }
  return sentences;
}

}  // namespace backflip::sim
