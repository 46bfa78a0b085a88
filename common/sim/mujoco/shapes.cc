#include "common/sim/mujoco/shapes.h"

#include <meshoptimizer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

namespace backflip::sim {
namespace {

// Of the mesh's size: more is lost only where it must be.
constexpr float kSimplifyError = 0.02f;

// A point of an outline in the half-plane x >= 0 of (x, z), with its normal.
struct OutlinePoint {
  double x, z, normal_x, normal_z;
};

// The outline, from below to above, turned around the z axis.
Mesh Revolve(const std::vector<OutlinePoint>& outline, int segments) {
  Mesh mesh;
  for (const OutlinePoint& p : outline) {
    for (int s = 0; s <= segments; ++s) {
      const double angle = 2 * std::numbers::pi * s / segments;
      const double c = std::cos(angle), n = std::sin(angle);
      for (const double v : {p.x * c, p.x * n, p.z})
        mesh.positions.push_back(static_cast<float>(v));
      for (const double v : {p.normal_x * c, p.normal_x * n, p.normal_z}) {
        mesh.normals.push_back(static_cast<float>(v));
      }
    }
  }
  const uint32_t row = segments + 1;
  for (uint32_t i = 0; i + 1 < outline.size(); ++i) {
    for (uint32_t s = 0; s + 1 < row; ++s) {
      const uint32_t a = i * row + s, b = a + 1, c = b + row, d = a + row;
      mesh.indices.insert(mesh.indices.end(), {a, b, c, a, c, d});
    }
  }
  return mesh;
}

// One stream of a mesh's vertices, `size` numbers each, in a new order.
template <typename T>
void Reorder(const std::vector<unsigned int>& order, size_t used, size_t size,
             std::vector<T>* values) {
  if (values->empty()) return;
  std::vector<T> reordered(values->size());
  meshopt_remapVertexBuffer(reordered.data(), values->data(), order.size(), size * sizeof(T),
                            order.data());
  reordered.resize(used * size);
  *values = std::move(reordered);
}

// The box around the mesh.
Mesh BoundingBox(const Mesh& mesh) {
  Mesh box = Cube();
  for (int axis = 0; axis < 3; ++axis) {
    float low = mesh.positions[axis], high = low;
    for (size_t i = axis; i < mesh.positions.size(); i += 3) {
      low = std::min(low, mesh.positions[i]);
      high = std::max(high, mesh.positions[i]);
    }
    for (size_t i = axis; i < box.positions.size(); i += 3) {
      box.positions[i] = (box.positions[i] < 0 ? low : high);
    }
  }
  return box;
}

}  // namespace

Mesh Capsule(double half_length, Fineness fineness) {
  std::vector<OutlinePoint> outline;
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i <= fineness.rings; ++i) {
      const double angle =
          std::numbers::pi / 2 * (half + static_cast<double>(i) / fineness.rings - 1);
      outline.push_back({std::cos(angle),
                         std::sin(angle) + (half == 0 ? -half_length : half_length),
                         std::cos(angle), std::sin(angle)});
    }
  }
  return Revolve(outline, fineness.segments);
}

Mesh Cylinder(Fineness fineness) {
  return Revolve(
      {{0, -1, 0, -1}, {1, -1, 0, -1}, {1, -1, 1, 0}, {1, 1, 1, 0}, {1, 1, 0, 1}, {0, 1, 0, 1}},
      fineness.segments);
}

Mesh Cube() {
  Mesh mesh;
  for (int axis = 0; axis < 3; ++axis) {
    for (const int side : {-1, 1}) {
      // u x v = the outward normal
      const int u = (axis + (side > 0 ? 1 : 2)) % 3, v = (axis + (side > 0 ? 2 : 1)) % 3;
      const auto first = static_cast<uint32_t>(mesh.positions.size() / 3);
      for (const auto& [a, b] : {std::array<int, 2>{-1, -1}, {1, -1}, {1, 1}, {-1, 1}}) {
        std::array<double, 3> position = {}, normal = {};
        position[axis] = side;
        position[u] = a;
        position[v] = b;
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

void Simplify(size_t triangles, Mesh* mesh) {
  triangles = std::max<size_t>(1, triangles);
  if (mesh->indices.size() > 3 * triangles) {
    const size_t wanted = 3 * triangles, vertices = mesh->positions.size() / 3;
    std::vector<uint32_t> kept(mesh->indices.size());
    kept.resize(meshopt_simplify(kept.data(), mesh->indices.data(), mesh->indices.size(),
                                 mesh->positions.data(), vertices, 3 * sizeof(float), wanted,
                                 kSimplifyError));
    // what hangs together too little to be simplified is drawn as a cloud of it
    if (kept.size() > wanted + wanted / 4) {
      kept.resize(mesh->indices.size());
      kept.resize(meshopt_simplifySloppy(kept.data(), mesh->indices.data(), mesh->indices.size(),
                                         mesh->positions.data(), vertices, 3 * sizeof(float),
                                         wanted, 1.0f));
    }
    if (kept.empty() && mesh->joints.empty()) {
      *mesh = BoundingBox(*mesh);
    } else if (!kept.empty()) {
      mesh->indices = std::move(kept);
    }
  }
  // vertices that no triangle uses go
  std::vector<unsigned int> order(mesh->positions.size() / 3);
  const size_t used = meshopt_optimizeVertexFetchRemap(order.data(), mesh->indices.data(),
                                                       mesh->indices.size(), order.size());
  meshopt_remapIndexBuffer(mesh->indices.data(), mesh->indices.data(), mesh->indices.size(),
                           order.data());
  Reorder(order, used, 3, &mesh->positions);
  Reorder(order, used, 3, &mesh->normals);
  Reorder(order, used, 4, &mesh->joints);
  Reorder(order, used, 4, &mesh->weights);
}

}  // namespace backflip::sim
