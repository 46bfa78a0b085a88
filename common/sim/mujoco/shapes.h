// Triangles of what a model is made of.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_SHAPES_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_SHAPES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/sim/mujoco/mujoco_handles.h"

namespace backflip::sim {

struct Mesh {
  std::vector<float> positions;  // [n, 3]
  std::vector<float> normals;    // [n, 3]; empty: a viewer takes those of the triangles
  std::vector<uint32_t> indices;
  // Of a mesh that several bodies move: for each vertex up to four of its bones, with weights that
  // add up to 1. [n, 4]; empty: one body moves it.
  std::vector<uint16_t> joints;
  std::vector<float> weights;
};

// How finely round shapes are cut.
struct Fineness {
  int segments;  // around an axis
  int rings;     // from a pole to the equator
};

// A sphere of radius 1 whose upper half is moved up by `half_length`, and the lower half down.
Mesh Capsule(double half_length, Fineness fineness);
// Of radius 1 and height 2.
Mesh Cylinder(Fineness fineness);
// With sides of 2.
Mesh Cube();
Mesh HeightField(const mjModel* model, int id);
Mesh ModelMesh(const mjModel* model, int id);

// At most about `triangles` of them, at least one, as close to the shape as that allows.
void Simplify(size_t triangles, Mesh* mesh);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_SHAPES_H_
