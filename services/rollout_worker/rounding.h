// Whether two machines compute the same.
#ifndef BACKFLIP_SERVICES_ROLLOUT_WORKER_ROUNDING_H_
#define BACKFLIP_SERVICES_ROLLOUT_WORKER_ROUNDING_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/sim/simulator.h"

namespace backflip::rollout_worker {

// SHA-256 of what a rollout is made of, bit for bit: physics of the simulator's task, 25 steps of
// random actions from a fixed seed, and the C library's functions, which it chooses by the
// processor. Machines that give the same one give, as far as is known, the same rollouts. Blocks
// for these steps. An error: that of the simulation.
absl::StatusOr<std::string> Rounding(sim::Simulator* simulator);

}  // namespace backflip::rollout_worker

#endif  // BACKFLIP_SERVICES_ROLLOUT_WORKER_ROUNDING_H_
