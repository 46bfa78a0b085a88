// Which candidates become pairs.
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_SELECTOR_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_SELECTOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/learn/reward/ensemble.h"

namespace backflip::learn {

struct SelectedPair {
  int left = 0;  // positions among the candidates; never equal
  int right = 0;
  double score = 0;  // the selector's; 0 where it has none
};

// `wanted` pairs of different clips among `candidates`, drawn by (seed, round);
// fewer when there are fewer, none among fewer than two candidates. No pair of
// clips comes twice, in either order.
std::vector<SelectedPair> SelectUniformly(int candidates, int wanted, uint64_t seed,
                                          uint64_t round);

// Draws `oversampling` × `wanted` pairs like SelectUniformly, and keeps those
// whose predicted preference varies most over the ensemble's members (Christiano
// et al. 2017, section 2.2.4), greatest first.
absl::StatusOr<std::vector<SelectedPair>> SelectByDisagreement(
    const RewardEnsemble& ensemble, const std::vector<const Clip*>& candidates, int wanted,
    int oversampling, uint64_t seed, uint64_t round);

// The pairs, each completed to `clips` different clips, the pair's first; fewer
// where there are fewer candidates. Every further clip is, of some drawn by
// (seed, round), the one whose preference to those already there varies most over
// the members on average; any drawn one without an `ensemble` (null).
absl::StatusOr<std::vector<std::vector<int>>> CompleteToRankings(
    const RewardEnsemble* ensemble, const std::vector<const Clip*>& candidates,
    const std::vector<SelectedPair>& pairs, int clips, uint64_t seed, uint64_t round);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_SELECTOR_H_
