// The seeds of what the learner asks workers for, all derived from the run's own.
#ifndef BACKFLIP_COMMON_METHOD_SEEDS_H_
#define BACKFLIP_COMMON_METHOD_SEEDS_H_

#include <cstdint>

#include "backflip/v1/run.pb.h"
#include "common/base/random.h"

namespace backflip::method {

// What seeds are keyed by, after the run's own.
enum class Draws : uint64_t {
  kEnvironment = 1,  // of a training environment
  kClips = 2,        // of a batch, then of a ticket
  kPpo = 3,
  kEvaluation = 4,       // of an episode
  kFinalEvaluation = 5,  // of an episode
};

template <typename... Keys>
uint64_t SeedOf(const v1::RunSpec& spec, Draws draws, Keys... keys) {
  return base::SeedOf({spec.seed(), static_cast<uint64_t>(draws), static_cast<uint64_t>(keys)...});
}

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_SEEDS_H_
