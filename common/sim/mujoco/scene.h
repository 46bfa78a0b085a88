// The geometry of a task, for viewers that draw clips from poses.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_SCENE_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_SCENE_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/sim/task.h"

namespace backflip::sim {

// Largest scene, in bytes; meshes are simplified until it fits.
inline constexpr int kMaxSceneBytes = 1'500'000;

// Binary glTF 2.0 of the model's visible geoms (MuJoCo's groups 0 to 2). The
// scene's only root turns MuJoCo's z up into glTF's y up; its children are a
// node for each body but the world, in the model's order and named after it
// (`body<i>` where it has no name), at the origin: a viewer gives each its
// position and orientation of a moment's Poses. A last child, `world`, holds
// what does not move, but planes. The scene's extras say how to look at it:
//   {"floor": bool,                 // the world has a plane
//    "camera": {"track": string,    // node that the camera follows
//               "distance": m, "azimuth": degrees, "elevation": degrees,
//               "height": m or null},  // null: the tracked body's
//    "radius": m}                   // rough size of the model
// with angles as MuJoCo's free camera has them. Colours, no textures. The same
// task gives the same bytes. RESOURCE_EXHAUSTED: it does not fit, however
// simplified.
absl::StatusOr<std::string> SceneGlb(const Task& task);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_SCENE_H_
