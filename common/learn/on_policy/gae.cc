#include "common/learn/on_policy/gae.h"

#include <cstddef>
#include <cstdint>

namespace backflip::learn {
namespace {

// The value of what follows a piece. `last_value`: of its last observation; `next_value`: of
// the observation after it.
double ValueAfter(experience::End end, float last_value, float next_value) {
  switch (end) {
    case experience::End::kTerminal:
      return 0;
    case experience::End::kDiverged:
      return last_value;
    case experience::End::kNone:
    case experience::End::kTimeLimit:
      break;
  }
  return next_value;
}

}  // namespace

AdvantageEstimates EstimateAdvantages(absl::Span<const float> rewards,
                                      absl::Span<const float> values,
                                      absl::Span<const experience::Piece> pieces,
                                      absl::Span<const float> next_values, double discount,
                                      double gae_lambda) {
  AdvantageEstimates estimates;
  estimates.advantages.resize(rewards.size());
  estimates.returns.resize(rewards.size());
  int64_t begin = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const int64_t end = begin + pieces[i].steps;
    double next_value = ValueAfter(pieces[i].end, values[end - 1], next_values[i]);
    double advantage = 0;
    for (int64_t t = end - 1; t >= begin; --t) {
      const double delta = rewards[t] + discount * next_value - values[t];
      advantage = delta + discount * gae_lambda * advantage;
      estimates.advantages[t] = static_cast<float>(advantage);
      estimates.returns[t] = static_cast<float>(advantage + values[t]);
      next_value = values[t];
    }
    begin = end;
  }
  return estimates;
}

}  // namespace backflip::learn
