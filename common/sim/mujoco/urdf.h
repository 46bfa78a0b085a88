// Robots in ROS's format, as MuJoCo models.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_URDF_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_URDF_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace backflip::sim {

// How far above a model its files are looked for.
inline constexpr int kFoldersUp = 4;

// Whether the text's first element is URDF's <robot>.
bool IsUrdf(absl::string_view text);

// The URDF file at `path` as MJCF, to stand in the same folder: URDF has no actuators, floor or
// light, so each joint gets a motor over its effort limit, and the world a floor. A
// robot of one chain (an arm) is fixed to the world, any other is free to move unless a link is
// called `world`. Meshes are found by their paths, with package:// and file:// too, from the file's
// folder up to kFoldersUp above it, and in the `meshdir` of its <mujoco> element. Those of kinds
// that MuJoCo cannot read are left out where they are only seen. Adds sentences on what was assumed
// to `remarks`. InvalidArgument with MuJoCo's own words.
absl::StatusOr<std::string> MjcfOfUrdf(const std::string& path, const std::string& text,
                                       std::vector<std::string>* remarks);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_URDF_H_
