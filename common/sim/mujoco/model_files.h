// Loads a model from files that are held in memory or read through a callback.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MODEL_FILES_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MODEL_FILES_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "common/sim/mujoco/mujoco_handles.h"

namespace backflip::sim {

// Gives the file at a normalised path relative to the task's folder; null when
// there is none. The string must live as long as the call to LoadModel.
using FileReader = std::function<const std::string*(const std::string& path)>;

// Compiles the model at `path`. Includes, meshes and textures are asked of
// `reader`, too. InvalidArgument with MuJoCo's own words, or for a path that
// leaves the folder. Also silences MuJoCo's log file, for the whole process.
absl::StatusOr<ModelPtr> LoadModel(const std::string& path, const FileReader& reader);

// `a/./b/../c` as `a/c`; empty when it leaves the folder or is absolute.
std::string NormalizePath(const std::string& path);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MODEL_FILES_H_
