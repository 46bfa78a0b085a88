// Generalised advantage estimation (Schulman et al. 2016, "High-dimensional continuous
// control using generalized advantage estimation").
#ifndef BACKFLIP_COMMON_LEARN_ON_POLICY_GAE_H_
#define BACKFLIP_COMMON_LEARN_ON_POLICY_GAE_H_

#include <vector>

#include "absl/types/span.h"
#include "common/experience/trajectory.h"

namespace backflip::learn {

struct AdvantageEstimates {
  std::vector<float> advantages;  // [steps]
  std::vector<float> returns;     // [steps]: advantage + value, what the value is fitted to
};

// Backwards over each piece of an episode, with δ_t = r_t + γ V(s_t+1) − V(s_t):
//   A_t = δ_t + γ λ A_t+1,
// where A is 0 after the piece. `rewards` and `values` have one number a step, `pieces`
// cover these in order, and `next_values` [pieces] are the values of the observations that
// follow the pieces. After a piece that ended
//   by its time limit, or not at all, `next_values` counts;
//   as the task has it (kTerminal), nothing counts;
//   by a divergence, the value before its last step does: the observation that follows means
//   nothing, and a divergence must neither pay nor cost.
AdvantageEstimates EstimateAdvantages(absl::Span<const float> rewards,
                                      absl::Span<const float> values,
                                      absl::Span<const experience::Piece> pieces,
                                      absl::Span<const float> next_values, double discount,
                                      double gae_lambda);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_ON_POLICY_GAE_H_
