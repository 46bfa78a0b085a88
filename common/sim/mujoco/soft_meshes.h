// What several bodies move: skins, flexes and tendons.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_SOFT_MESHES_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_SOFT_MESHES_H_

#include <array>
#include <vector>

#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/mujoco/robot.h"
#include "common/sim/mujoco/shapes.h"

namespace backflip::sim {

// A vertex v is drawn where the mean over its bones b, by their weights, of
// pose(bodies[b]) * inverse_binds[b] * v is (linear blend skinning, as MuJoCo's skins).
struct SoftMesh {
  Mesh mesh;                         // with joints, which count `bodies`
  std::vector<int> bodies;           // MuJoCo's; 0: the world
  std::vector<float> inverse_binds;  // [bodies, 16], by columns
  std::array<float, 4> rgba;
};

// All that are visible. Tendons run straight from site to site, not around what they are wrapped
// around; all of one colour are one mesh. Flexes but for those that DeformedByNodes has.
std::vector<SoftMesh> SoftMeshes(const mjModel* model);

// Whether the flex's vertices follow a grid of nodes, not bodies of their own.
bool DeformedByNodes(const mjModel* model, int flex);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_SOFT_MESHES_H_
