// The one place that knows which kinds of tasks there are.
#include "common/sim/task.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/mujoco_task.h"

namespace backflip::sim {

absl::StatusOr<std::shared_ptr<const Task>> Task::FromFolder(const std::string& folder) {
  ASSIGN_OR_RETURN(Bundle bundle, PackBundle(folder, MujocoTask::ReadModel));
  return MujocoTask::Compile(std::move(bundle), absl::StrCat(folder, "/", kTaskFile));
}

absl::StatusOr<std::shared_ptr<const Task>> Task::FromBundle(const std::string& bytes) {
  return MujocoTask::Compile(Bundle{bytes, base::Sha256Hex(bytes)}, kTaskFile);
}

std::vector<std::string> Task::metric_names() const {
  std::vector<std::string> names;
  for (const auto& metric : task_.metric()) names.push_back(metric.name());
  return names;
}

}  // namespace backflip::sim
