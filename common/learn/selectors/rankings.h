// Internal to common/learn/selectors: pairs completed to rankings.
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_RANKINGS_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_RANKINGS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "common/learn/selectors/selector.h"

namespace backflip::learn {

// What Selector::Complete gives, for `candidates` candidates. Each further clip is, of
// some drawn ones, the one with the greatest sum of `score` over itself and each clip that
// is in the ranking already; without a score (null) any drawn one.
std::vector<std::vector<int>> CompleteToRankings(
    int candidates, const std::vector<SelectedPair>& pairs, int clips, uint64_t seed,
    uint64_t round, const std::function<double(int clip, int other)>& score);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_RANKINGS_H_
