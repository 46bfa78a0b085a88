#include "common/sim/mujoco/scene.h"

#include <meshoptimizer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/mujoco_task.h"
#include "nlohmann/json.hpp"

namespace backflip::sim {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVisibleGroups = 3;  // as MuJoCo's own viewers show at first
constexpr int kSegments = 24;      // around an axis
constexpr int kRings = 8;          // from a pole to the equator
constexpr double kPi = 3.14159265358979323846;
// Triangles of all meshes together at the first try; a half at each further one.
constexpr size_t kMostTriangles = 48'000;
constexpr int kTries = 8;
// glTF's names of numbers
constexpr int kFloat = 5126, kUint16 = 5123, kUint32 = 5125;
constexpr int kVertices = 34962, kIndices = 34963;

struct Mesh {
  std::vector<float> positions;  // [n, 3]
  std::vector<float> normals;    // [n, 3]; empty: each triangle is flat
  std::vector<uint32_t> indices;
};

// A point of an outline in the half-plane x >= 0 of (x, z), with its normal.
struct OutlinePoint {
  double x, z, normal_x, normal_z;
};

// The outline, from below to above, turned around the z axis.
Mesh Revolve(const std::vector<OutlinePoint>& outline) {
  Mesh mesh;
  for (const OutlinePoint& p : outline) {
    for (int s = 0; s <= kSegments; ++s) {
      const double angle = 2 * kPi * s / kSegments;
      const double c = std::cos(angle), n = std::sin(angle);
      for (const double v : {p.x * c, p.x * n, p.z})
        mesh.positions.push_back(static_cast<float>(v));
      for (const double v : {p.normal_x * c, p.normal_x * n, p.normal_z}) {
        mesh.normals.push_back(static_cast<float>(v));
      }
    }
  }
  const uint32_t row = kSegments + 1;
  for (uint32_t i = 0; i + 1 < outline.size(); ++i) {
    for (uint32_t s = 0; s < kSegments; ++s) {
      const uint32_t a = i * row + s, b = a + 1, c = b + row, d = a + row;
      mesh.indices.insert(mesh.indices.end(), {a, b, c, a, c, d});
    }
  }
  return mesh;
}

Mesh Capsule(double radius, double half_length) {
  std::vector<OutlinePoint> outline;
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i <= kRings; ++i) {
      const double angle = kPi / 2 * (half + static_cast<double>(i) / kRings - 1);
      outline.push_back({radius * std::cos(angle),
                         radius * std::sin(angle) + (half == 0 ? -half_length : half_length),
                         std::cos(angle), std::sin(angle)});
    }
  }
  return Revolve(outline);
}

Mesh Ellipsoid(const mjtNum* size) {
  Mesh mesh = Capsule(1, 0);
  for (size_t i = 0; i < mesh.positions.size(); i += 3) {
    double length = 0;
    for (int axis = 0; axis < 3; ++axis) {
      mesh.positions[i + axis] *= static_cast<float>(size[axis]);
      mesh.normals[i + axis] /= static_cast<float>(size[axis]);
      length += mesh.normals[i + axis] * mesh.normals[i + axis];
    }
    for (int axis = 0; axis < 3; ++axis) {
      mesh.normals[i + axis] /= static_cast<float>(std::sqrt(length));
    }
  }
  return mesh;
}

Mesh Cylinder(double radius, double half_length) {
  const double h = half_length;
  return Revolve({{0, -h, 0, -1},
                  {radius, -h, 0, -1},
                  {radius, -h, 1, 0},
                  {radius, h, 1, 0},
                  {radius, h, 0, 1},
                  {0, h, 0, 1}});
}

Mesh Box(const mjtNum* size) {
  Mesh mesh;
  for (int axis = 0; axis < 3; ++axis) {
    for (const int side : {-1, 1}) {
      // u x v = the outward normal
      const int u = (axis + (side > 0 ? 1 : 2)) % 3, v = (axis + (side > 0 ? 2 : 1)) % 3;
      const auto first = static_cast<uint32_t>(mesh.positions.size() / 3);
      for (const auto& [a, b] : {std::array<int, 2>{-1, -1}, {1, -1}, {1, 1}, {-1, 1}}) {
        std::array<double, 3> position = {}, normal = {};
        position[axis] = side * size[axis];
        position[u] = a * size[u];
        position[v] = b * size[v];
        normal[axis] = side;
        mesh.positions.insert(mesh.positions.end(), position.begin(), position.end());
        mesh.normals.insert(mesh.normals.end(), normal.begin(), normal.end());
      }
      for (const uint32_t i : {0, 1, 2, 0, 2, 3}) mesh.indices.push_back(first + i);
    }
  }
  return mesh;
}

Mesh HeightField(const mjModel* model, int id) {
  const int rows = model->hfield_nrow[id], columns = model->hfield_ncol[id];
  const mjtNum* size = model->hfield_size + 4 * id;
  const float* data = model->hfield_data + model->hfield_adr[id];
  Mesh mesh;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      for (const double v :
           {size[0] * (2.0 * c / (columns - 1) - 1), size[1] * (2.0 * r / (rows - 1) - 1),
            size[2] * data[r * columns + c]}) {
        mesh.positions.push_back(static_cast<float>(v));
      }
    }
  }
  for (int r = 0; r + 1 < rows; ++r) {
    for (int c = 0; c + 1 < columns; ++c) {
      const auto a = static_cast<uint32_t>(r * columns + c);
      const uint32_t b = a + 1, d = a + columns, e = d + 1;
      mesh.indices.insert(mesh.indices.end(), {a, b, e, a, e, d});
    }
  }
  return mesh;
}

Mesh ModelMesh(const mjModel* model, int id) {
  Mesh mesh;
  const float* vertices = model->mesh_vert + 3 * model->mesh_vertadr[id];
  mesh.positions.assign(vertices, vertices + 3 * model->mesh_vertnum[id]);
  const int* faces = model->mesh_face + 3 * model->mesh_faceadr[id];
  mesh.indices.assign(faces, faces + 3 * model->mesh_facenum[id]);
  return mesh;
}

// At most about `triangles` of them, as close to the shape as that allows.
void Simplify(size_t triangles, Mesh* mesh) {
  if (mesh->indices.size() > 3 * triangles) {
    std::vector<uint32_t> kept(mesh->indices.size());
    kept.resize(meshopt_simplifySloppy(kept.data(), mesh->indices.data(), mesh->indices.size(),
                                       mesh->positions.data(), mesh->positions.size() / 3,
                                       3 * sizeof(float), 3 * triangles, 1.0f, nullptr));
    mesh->indices = std::move(kept);
  }
  // vertices that no triangle uses go
  std::vector<float> positions(mesh->positions.size());
  const size_t used = meshopt_optimizeVertexFetch(positions.data(), mesh->indices.data(),
                                                  mesh->indices.size(), mesh->positions.data(),
                                                  mesh->positions.size() / 3, 3 * sizeof(float));
  positions.resize(3 * used);
  mesh->positions = std::move(positions);
}

class Writer {
 public:
  Writer() {
    json_["asset"] = {{"version", "2.0"}, {"generator", "backflip"}};
    json_["scene"] = 0;
  }

  Json& json() { return json_; }

  int AddNode(Json node) { return Add("nodes", std::move(node)); }

  int AddMesh(const Mesh& mesh, const std::array<float, 4>& rgba) {
    Json primitive;
    primitive["attributes"]["POSITION"] = AddVectors(mesh.positions, true);
    if (!mesh.normals.empty()) primitive["attributes"]["NORMAL"] = AddVectors(mesh.normals, false);
    primitive["indices"] = AddIndices(mesh.indices, mesh.positions.size() / 3);
    primitive["material"] = Material(rgba);
    return Add("meshes", {{"primitives", Json::array({std::move(primitive)})}});
  }

  std::string Finish() {
    Align(0);
    json_["buffers"] = Json::array({{{"byteLength", binary_.size()}}});
    std::string text = json_.dump();
    text.resize((text.size() + 3) / 4 * 4, ' ');
    std::string glb = "glTF";
    AppendUint32(2, &glb);
    AppendUint32(static_cast<uint32_t>(12 + 8 + text.size() + 8 + binary_.size()), &glb);
    AppendUint32(static_cast<uint32_t>(text.size()), &glb);
    glb += "JSON" + text;
    AppendUint32(static_cast<uint32_t>(binary_.size()), &glb);
    glb += std::string("BIN\0", 4) + binary_;
    return glb;
  }

 private:
  static void AppendUint32(uint32_t value, std::string* out) {
    for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(value >> shift));
  }

  int Add(const char* list, Json item) {
    json_[list].push_back(std::move(item));
    return static_cast<int>(json_[list].size()) - 1;
  }

  void Align(char fill) { binary_.resize((binary_.size() + 3) / 4 * 4, fill); }

  template <typename T>
  int AddView(const std::vector<T>& values, int target) {
    Align(0);
    const size_t offset = binary_.size();
    binary_.resize(offset + values.size() * sizeof(T));
    std::memcpy(&binary_[offset], values.data(), values.size() * sizeof(T));
    return Add("bufferViews", {{"buffer", 0},
                               {"byteOffset", offset},
                               {"byteLength", values.size() * sizeof(T)},
                               {"target", target}});
  }

  int AddVectors(const std::vector<float>& values, bool bounds) {
    Json accessor = {{"bufferView", AddView(values, kVertices)},
                     {"componentType", kFloat},
                     {"count", values.size() / 3},
                     {"type", "VEC3"}};
    if (bounds) {
      std::array<float, 3> low = {values[0], values[1], values[2]}, high = low;
      for (size_t i = 0; i < values.size(); ++i) {
        low[i % 3] = std::min(low[i % 3], values[i]);
        high[i % 3] = std::max(high[i % 3], values[i]);
      }
      accessor["min"] = low;
      accessor["max"] = high;
    }
    return Add("accessors", std::move(accessor));
  }

  int AddIndices(const std::vector<uint32_t>& indices, size_t vertices) {
    const bool small = vertices <= 65'535;
    const int view = small
                         ? AddView(std::vector<uint16_t>(indices.begin(), indices.end()), kIndices)
                         : AddView(indices, kIndices);
    return Add("accessors", {{"bufferView", view},
                             {"componentType", small ? kUint16 : kUint32},
                             {"count", indices.size()},
                             {"type", "SCALAR"}});
  }

  int Material(const std::array<float, 4>& rgba) {
    const auto [known, added] = materials_.emplace(rgba, 0);
    if (added) {
      Json material = {
          {"pbrMetallicRoughness",
           {{"baseColorFactor", rgba}, {"metallicFactor", 0}, {"roughnessFactor", 0.7}}}};
      if (rgba[3] < 1) material["alphaMode"] = "BLEND";
      known->second = Add("materials", std::move(material));
    }
    return known->second;
  }

  Json json_;
  std::string binary_;
  std::map<std::array<float, 4>, int> materials_;
};

// A geom's own colour, unless it is the default one: then its material's.
std::array<float, 4> Colour(const mjModel* model, int geom) {
  const float* rgba = model->geom_rgba + 4 * geom;
  const bool is_default = rgba[0] == 0.5f && rgba[1] == 0.5f && rgba[2] == 0.5f && rgba[3] == 1.0f;
  if (is_default && model->geom_matid[geom] >= 0)
    rgba = model->mat_rgba + 4 * model->geom_matid[geom];
  return {rgba[0], rgba[1], rgba[2], rgba[3]};
}

bool HasMesh(const mjModel* model, int geom) {
  return model->geom_type[geom] == mjGEOM_MESH || model->geom_type[geom] == mjGEOM_HFIELD;
}

// In the geom's own frame. Empty: nothing to draw.
Mesh Shape(const mjModel* model, int geom) {
  const mjtNum* size = model->geom_size + 3 * geom;
  const int data = model->geom_dataid[geom];
  switch (model->geom_type[geom]) {
    case mjGEOM_SPHERE:
      return Capsule(size[0], 0);
    case mjGEOM_CAPSULE:
      return Capsule(size[0], size[1]);
    case mjGEOM_ELLIPSOID:
      return Ellipsoid(size);
    case mjGEOM_CYLINDER:
      return Cylinder(size[0], size[1]);
    case mjGEOM_BOX:
      return Box(size);
    case mjGEOM_MESH:
      return ModelMesh(model, data);
    case mjGEOM_HFIELD:
      return HeightField(model, data);
    default:
      return {};
  }
}

std::string BodyName(const mjModel* model, int body) {
  const char* name = mj_id2name(model, mjOBJ_BODY, body);
  return name != nullptr && *name != 0 ? name : absl::StrCat("body", body);
}

// With `triangles` for all meshes together.
std::string Write(const MujocoTask& task, size_t triangles) {
  const mjModel* model = task.model();
  size_t wanted = 0;
  std::vector<Mesh> shapes(model->ngeom);
  bool floor = false;
  for (int geom = 0; geom < model->ngeom; ++geom) {
    floor = floor || (model->geom_bodyid[geom] == 0 && model->geom_type[geom] == mjGEOM_PLANE);
    if (model->geom_group[geom] >= kVisibleGroups) continue;
    shapes[geom] = Shape(model, geom);
    if (HasMesh(model, geom)) wanted += shapes[geom].indices.size() / 3;
  }
  Writer writer;
  Json root = {{"name", "root"}, {"rotation", {-std::sqrt(0.5), 0, 0, std::sqrt(0.5)}}};
  for (int i = 1; i <= model->nbody; ++i) {
    const int body = i % model->nbody;  // the world comes last
    Json node = {{"name", body == 0 ? "world" : BodyName(model, body)}};
    for (int geom = 0; geom < model->ngeom; ++geom) {
      Mesh& shape = shapes[geom];
      if (model->geom_bodyid[geom] != body || shape.indices.empty()) continue;
      if (HasMesh(model, geom)) {
        const double share = std::min(1.0, static_cast<double>(triangles) / wanted);
        Simplify(static_cast<size_t>(std::ceil(share * shape.indices.size() / 3)), &shape);
        if (shape.indices.empty()) continue;
      }
      const mjtNum* position = model->geom_pos + 3 * geom;
      const mjtNum* q = model->geom_quat + 4 * geom;
      node["children"].push_back(
          writer.AddNode({{"mesh", writer.AddMesh(shape, Colour(model, geom))},
                          {"translation", {position[0], position[1], position[2]}},
                          {"rotation", {q[1], q[2], q[3], q[0]}}}));
    }
    root["children"].push_back(writer.AddNode(std::move(node)));
  }
  const v1::Camera& camera = task.task().camera();
  Json look = {{"track", BodyName(model, task.tracked_body())},
               {"distance", camera.distance()},
               {"azimuth", camera.azimuth()},
               {"elevation", camera.elevation()},
               {"height", camera.has_height() ? Json(camera.height()) : Json()}};
  Json scene = {
      {"nodes", Json::array({writer.AddNode(std::move(root))})},
      {"extras", {{"floor", floor}, {"camera", std::move(look)}, {"radius", model->stat.extent}}}};
  writer.json()["scenes"] = Json::array({std::move(scene)});
  return writer.Finish();
}

}  // namespace

absl::StatusOr<std::string> SceneGlb(const Task& task) {
  ASSIGN_OR_RETURN(const MujocoTask* const mujoco, MujocoTask::Of(task));
  size_t triangles = kMostTriangles;
  size_t size = 0;
  for (int i = 0; i < kTries; ++i, triangles /= 2) {
    std::string glb = Write(*mujoco, triangles);
    if (glb.size() <= kMaxSceneBytes) return glb;
    size = glb.size();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("the scene of task ", task.name(), " takes ", size,
                   " bytes with its meshes simplified, and at most ", kMaxSceneBytes,
                   " are allowed: give the model fewer visible geoms (groups 0 to 2)"));
}

}  // namespace backflip::sim
