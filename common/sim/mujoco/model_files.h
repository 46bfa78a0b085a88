// Loads a model from files that are held in memory or read through a callback.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MODEL_FILES_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MODEL_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/sim/bundle.h"
#include "common/sim/mujoco/mujoco_handles.h"

namespace backflip::sim {

// Compiles the model at `path`. Includes, meshes and textures are asked of
// `reader`, too. InvalidArgument with MuJoCo's own words, or for a path that is not there, leaves
// the folder or is absolute: nothing is read but what the reader gives. Also silences
// MuJoCo's log file, for the whole process. MuJoCo's fatal errors while it parses end the process
// (sim::TryTask has one for that). `missing` becomes the path, from the reader's folder, of a
// file that it failed for: the reader has none, or it lies above that folder.
absl::StatusOr<ModelPtr> LoadModel(const std::string& path, const FileReader& reader,
                                   std::string* missing = nullptr);

// Whether this stands in a file's place where Git LFS has not fetched it, and what is said then.
bool IsLfsPointer(absl::string_view content);
absl::Status LfsPointerError(absl::string_view path);

// MuJoCo's words on one line, with what to do about some of them.
std::string MujocoSentence(absl::string_view words);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MODEL_FILES_H_
