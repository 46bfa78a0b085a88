// How many questions a round asks.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_ROUND_PLANNER_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_ROUND_PLANNER_H_

#include <algorithm>
#include <cstdint>

namespace backflip::reward_trainer {

// Pairs to open so that `wanted` labels come in all, when `counted` have come
// and `open` places of earlier questions wait for theirs. A question gives
// `overlap` labels; what an answer like "cannot tell" leaves missing is asked
// again in the next round, by being wanted still.
inline int64_t PairsToOpen(int64_t wanted, int64_t counted, int64_t open, int64_t overlap) {
  const int64_t missing = std::max<int64_t>(0, wanted - counted - open);
  return (missing + overlap - 1) / overlap;
}

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_ROUND_PLANNER_H_
