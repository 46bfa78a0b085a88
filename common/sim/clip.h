// Clips: short pieces of rollouts, with what it takes to score and to show them.
#ifndef BACKFLIP_COMMON_SIM_CLIP_H_
#define BACKFLIP_COMMON_SIM_CLIP_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "common/sim/mujoco/mujoco_task.h"
#include "common/sim/simulator.h"

namespace backflip::sim {

// k consecutive steps of one episode. k + 1 moments: before the first action, and
// after each. Arrays are row-major.
struct Clip {
  int32_t steps = 0;
  std::vector<float> observations;  // [steps + 1, observation_size]
  std::vector<float> actions;       // [steps, action_size], as sampled
  std::vector<float> poses;         // [steps + 1, bodies, 7], see BodyPoses
  std::vector<double> states;       // [steps + 1, state_size]
  std::vector<float> true_rewards;  // [steps]; empty where the task has none
};

// Up to `count` clips of task.clip().steps from random places of the rollout,
// drawn from `seed`. They cross no reset, and no two of them overlap, so a
// rollout of short episodes may give fewer.
std::vector<Clip> CutClips(const CompiledTask& task, const Rollout& rollout, int count,
                           uint64_t seed);

// The first episode of the rollout's first environment, or what the ticket saw
// of it, up to `most_steps` (at least 1) of it.
Clip FirstEpisode(const CompiledTask& task, const Rollout& rollout, int most_steps);

// Recorded states [moments, state_size] as the poses of all bodies but the
// world: [moments, bodies, 7], position x y z in metres, then orientation as a
// quaternion w x y z, in world coordinates.
std::vector<float> BodyPoses(const CompiledTask& task, absl::Span<const double> states);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_CLIP_H_
