// MuJoCo's fatal errors (its arena is full, it finds no memory) as statuses.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_ERRORS_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_ERRORS_H_

#include <csetjmp>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/sim/mujoco/mujoco_handles.h"

namespace backflip::sim {

// Installs the handler of MuJoCo's messages, once for the process: warnings are left to mjData,
// which counts them; an error ends the innermost CatchMujocoErrors of its thread, or, where there
// is none, the process, after its sentence went to the standard error.
void InstallMujocoErrorHandler();

namespace internal {
struct MujocoErrorCatcher {
  std::jmp_buf back;
  char message[1024];
};
// Of this thread; null: none.
extern thread_local MujocoErrorCatcher* mujoco_error_catcher;
}  // namespace internal

// Runs `body`, which calls MuJoCo. FAILED_PRECONDITION with MuJoCo's words when that reports a
// fatal error; the mjData of the call must then be reset (mj_resetData) before it is used again.
//
// MuJoCo wants its handler never to return, so that the call is left by longjmp, as by MuJoCo's
// own compiler. That is defined as long as no object with a destructor is skipped: `body` must
// hold none while it calls MuJoCo, whose engine is C. Thread-safe.
template <typename Body>
absl::Status CatchMujocoErrors(const Body& body) {
  internal::MujocoErrorCatcher catcher;
  internal::MujocoErrorCatcher* const outer =
      std::exchange(internal::mujoco_error_catcher, &catcher);
  if (setjmp(catcher.back) == 0) {
    body();
    internal::mujoco_error_catcher = outer;
    return absl::OkStatus();
  }
  internal::mujoco_error_catcher = outer;
  return absl::FailedPreconditionError(absl::StrCat("MuJoCo: ", catcher.message));
}

// FAILED_PRECONDITION where there is no memory for it.
absl::StatusOr<DataPtr> MakeData(const mjModel* model);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_ERRORS_H_
