// Clips cut from rollouts, with what it takes to score and to show them.
#ifndef BACKFLIP_COMMON_SIM_CLIP_H_
#define BACKFLIP_COMMON_SIM_CLIP_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/experience/clip.h"
#include "common/sim/simulator.h"
#include "common/sim/task.h"

namespace backflip::sim {

// Up to `count` clips of task.clip().steps from random places of the rollout,
// drawn from `seed`, in the order of environments and time. They begin anywhere in
// an episode, cross no reset, hold no step that diverged, and no two of them
// overlap, so a rollout of short episodes may give fewer. Their true rewards and rubric are what
// each shows by itself (ClipTruth). OutOfRange: one of those is no finite number.
absl::StatusOr<std::vector<experience::Clip>> CutClips(const Task& task, const Rollout& rollout,
                                                       int count, uint64_t seed);

// The first episode of the rollout's first environment, or what the ticket saw
// of it, up to `most_steps` (at least 1) of it. No true rewards, no rubric.
experience::Clip FirstEpisode(const Task& task, const Rollout& rollout, int most_steps);

// Bytes of each of the task's clips in messages: of its picture, and of all of it.
struct ClipBytes {
  int64_t picture = 0, whole = 0;
};
ClipBytes BytesOfClips(const Task& task);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_CLIP_H_
