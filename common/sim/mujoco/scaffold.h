// A first task for somebody's own model.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_SCAFFOLD_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_SCAFFOLD_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/sim/task.h"

namespace backflip::sim {

struct NewTask {
  std::shared_ptr<const Task> task;
  // What will be odd about it, a sentence each.
  std::vector<std::string> remarks;
  // Of an episode of random actions, as far as it went: [moments, state_size].
  std::vector<double> states;
};

// A new folder beside the one that it is to become, under a name that nobody else uses. It is
// removed with the object unless it was moved; so are the folders that it had to make above.
class Draft {
 public:
  // PERMISSION_DENIED and the like: no folder can be made there.
  static absl::StatusOr<std::unique_ptr<Draft>> Beside(const std::string& folder);
  ~Draft();
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  // Where to write the task.
  const std::string& path() const { return path_; }
  // Makes it the folder that it was begun for.
  absl::Status Keep();

 private:
  Draft() = default;
  std::string outer_, path_, target_;
  std::vector<std::string> above_;  // that it has made, the outermost first
};

// Makes the task folder `folder`, in the draft, from the MJCF or URDF file at `model_path`: copies
// the model and every file that it names, below the nearest folder that holds them all, and writes
// a task.textproto with working defaults and comments on what to change. Loads and simulates it
// before it returns. Tells `progress` what it begins. AlreadyExists when `folder` is there.
// NotFound, InvalidArgument: the model.
absl::StatusOr<NewTask> ScaffoldTask(const std::string& model_path, const std::string& folder,
                                     const Draft& draft,
                                     const std::function<void(absl::string_view)>& progress);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_SCAFFOLD_H_
