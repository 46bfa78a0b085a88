// Trust region policy optimisation (Schulman et al. 2015).
#ifndef BACKFLIP_COMMON_LEARN_TRPO_TRPO_H_
#define BACKFLIP_COMMON_LEARN_TRPO_TRPO_H_

#include <memory>

#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "common/learn/algorithm.h"

namespace backflip::learn {

// TRPO by spec.trpo and, for what it shares with PPO, spec.ppo; with the run's seed and
// collection.noise_seconds.
absl::StatusOr<std::unique_ptr<Algorithm>> MakeTrpo(const v1::RunSpec& spec, Sizes sizes);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_TRPO_TRPO_H_
