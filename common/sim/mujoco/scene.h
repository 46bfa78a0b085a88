// The geometry of a task, for viewers that draw clips from poses.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_SCENE_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_SCENE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/sim/task.h"

namespace backflip::sim {

// Largest scene, in bytes; meshes and round shapes become coarser until it fits.
inline constexpr int kMaxSceneBytes = 1'500'000;

// Binary glTF 2.0 of what MuJoCo draws of the model (VisibleGroups): geoms, sites, skins, flexes
// and tendons, without what is fully transparent. The scene's only root turns MuJoCo's z up into
// glTF's y up; its children are a node for each body but the world, in the model's order, at the
// origin: a viewer gives each its position and orientation of a moment's Poses. The last child
// holds what does not move, and the meshes that several bodies move, as glTF's skins over those
// nodes. Names say nothing. The scene's extras say what else there is, and how to look at it:
//   {"floors": [                     // planes
//      {"body": int,                 // that moves it, as poses count them; -1: none
//       "position": [x, y, z], "rotation": [x, y, z, w],  // in that body, or in the world (z up)
//       "size": [x, y],              // half sizes, m; 0: without an end
//       "colour": [r, g, b, a]}],    // without: the ground, as a viewer shows that
//    "ground": int or null,          // the floor that shadows fall on: level, without a body
//    "camera": {"track": int,        // body that the camera follows, as poses count them; -1: none
//               "distance": m, "azimuth": degrees, "elevation": degrees,
//               "height": m or null}}  // null: the tracked body's
// with angles as MuJoCo's free camera has them. Colours, no textures. The same
// task gives the same bytes. FailedPrecondition: it does not fit, however coarse.
absl::StatusOr<std::string> SceneGlb(const Task& task);

// Sentences on what MuJoCo draws and the scene leaves out.
std::vector<std::string> LeftOut(const Task& task);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_SCENE_H_
