#include "common/sim/mujoco/trial.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/elements.h"
#include "common/sim/mujoco/mujoco_errors.h"

namespace backflip::sim {
namespace {

constexpr int kStepsPerView = 8;

bool Diverged(const mjData* data) {
  return data->warning[mjWARN_BADQPOS].number > 0 || data->warning[mjWARN_BADQVEL].number > 0 ||
         data->warning[mjWARN_BADQACC].number > 0;
}

}  // namespace

absl::StatusOr<Trial> TryRandomActions(const mjModel* model, const Robot& robot, int frame_skip,
                                       int steps, absl::Duration limit) {
  ASSIGN_OR_RETURN(const DataPtr data, MakeData(model));
  const char* keyframe = model->nkey > 0 ? mj_id2name(model, mjOBJ_KEY, 0) : nullptr;
  if (keyframe != nullptr && *keyframe != 0) mj_resetDataKeyframe(model, data.get(), 0);
  Trial trial;
  const size_t size = mj_stateSize(model, mjSTATE_FULLPHYSICS);
  const absl::Time begin = absl::Now();
  uint64_t draws = 0;
  for (int step = 0;; ++step) {
    trial.states.resize((step + 1) * size);
    mj_getState(model, data.get(), &trial.states[step * size], mjSTATE_FULLPHYSICS);
    if (step % kStepsPerView == 0) {
      mj_kinematics(model, data.get());
      std::vector<Point>& places = trial.places.emplace_back();
      for (int body = 0; body < model->nbody; ++body) {
        const mjtNum* place = data->xpos + 3 * body;
        places.push_back({place[0], place[1], place[2]});
      }
      trial.views.push_back({places[robot.root], RobotCorners(model, data.get(), robot)});
    }
    if (step == steps || absl::Now() - begin > limit) break;
    for (int i = 0; i < model->nu; ++i) {
      const auto [middle, half] = ControlRangeOf(model, i);
      data->ctrl[i] = middle + half * (2 * base::UnitInterval(base::SeedOf({1, draws++})) - 1);
    }
    const absl::Status stepped = CatchMujocoErrors([&] {
      for (int i = 0; i < frame_skip && !Diverged(data.get()); ++i) mj_step(model, data.get());
    });
    if (!stepped.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat(stepped.message(), ", at step ", step + 1, " of random actions"));
    }
    if (Diverged(data.get())) {
      trial.diverged = step + 1;
      break;
    }
  }
  trial.dropped_contacts =
      data->warning[mjWARN_CONTACTFULL].number > 0 || data->warning[mjWARN_CNSTRFULL].number > 0;
  return trial;
}

}  // namespace backflip::sim
