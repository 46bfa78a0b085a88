// Proximal policy optimisation (Schulman et al. 2017).
#ifndef BACKFLIP_COMMON_LEARN_PPO_PPO_H_
#define BACKFLIP_COMMON_LEARN_PPO_PPO_H_

#include <memory>

#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "common/learn/algorithm.h"

namespace backflip::learn {

// PPO by spec.ppo, with the run's seed and collection.noise_seconds.
absl::StatusOr<std::unique_ptr<Algorithm>> MakePpo(const v1::RunSpec& spec, Sizes sizes);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_PPO_PPO_H_
