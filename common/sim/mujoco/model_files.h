// Loads a model from files that are held in memory or read through a callback.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MODEL_FILES_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MODEL_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/sim/bundle.h"
#include "common/sim/mujoco/mujoco_handles.h"

namespace backflip::sim {

// Compiles the model at `path`. Includes, meshes and textures are asked of
// `reader`, too. InvalidArgument with MuJoCo's own words, or for a path that
// leaves the folder or is absolute: nothing is read but what the reader gives. Also silences
// MuJoCo's log file, for the whole process. MuJoCo's fatal errors while it parses end the process
// (sim::TryTask has one for that).
absl::StatusOr<ModelPtr> LoadModel(const std::string& path, const FileReader& reader);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MODEL_FILES_H_
