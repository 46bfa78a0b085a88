#include "common/sim/mujoco/mujoco_errors.h"

#include <mujoco/mujoco.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "common/base/status_macros.h"
#include "common/base/version.h"

namespace backflip::sim {
namespace {

const base::VersionLine version_line("MuJoCo", mj_versionString());

void Log(const mjLogMessage* message) {
  if (message->level != mjLOG_ERROR) return;
  internal::MujocoErrorCatcher* const catcher = internal::mujoco_error_catcher;
  if (catcher != nullptr) {
    std::snprintf(catcher->message, sizeof(catcher->message), "%s", message->subject);
    // one line: it becomes part of a sentence
    for (char* c = catcher->message; *c != '\0'; ++c) {
      if (*c == '\n') *c = ';';
    }
    std::longjmp(catcher->back, 1);
  }
  std::fprintf(stderr, "MuJoCo: %s\n", message->subject);
  std::abort();
}

}  // namespace

namespace internal {
thread_local MujocoErrorCatcher* mujoco_error_catcher = nullptr;
}  // namespace internal

void InstallMujocoErrorHandler() {
  static std::once_flag once;
  std::call_once(once, [] { mju_setLogHandler(Log); });
}

absl::StatusOr<DataPtr> MakeData(const mjModel* model) {
  mjData* made = nullptr;
  RETURN_IF_ERROR(CatchMujocoErrors([&] { made = mj_makeData(model); }));
  if (made != nullptr) return DataPtr(made);
  return absl::FailedPreconditionError("this machine has too little memory for a simulation");
}

}  // namespace backflip::sim
