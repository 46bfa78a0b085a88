// Training episodes that begin at moments of the run's own clips (collection.restart_share), so
// that what comes after a rare moment is met more often (Tavakoli et al., 2018, "Exploring restart
// distributions"). Environments change to a new episode between batches, so that tickets say where
// each begins: those whose episodes are the oldest, and would have ended soonest.
#ifndef BACKFLIP_COMMON_METHOD_RESTARTS_H_
#define BACKFLIP_COMMON_METHOD_RESTARTS_H_

#include <cstdint>
#include <vector>

#include "backflip/v1/restart.pb.h"
#include "backflip/v1/run.pb.h"

namespace backflip::method {

struct Restart {
  int environment = 0;
  v1::MomentChoice moment;  // which one
  uint64_t rng_seed = 0;    // of the environment's generator from there on
};

// Those of `batch`, where the environments' episodes are so many steps old: at most one for each
// environment, and as many as make restart_share of the episodes that begin in a batch. None before
// the first batch, nor where the run learns from true rewards, which has no clips. By environment.
std::vector<Restart> PlanRestarts(const v1::RunSpec& spec, const v1::TaskInfo& task, int64_t batch,
                                  const std::vector<int32_t>& ages);

// Among how many clips of each kind the moments of a run are chosen.
int RestartClips(const v1::RunSpec& spec);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_RESTARTS_H_
