#include "common/learn/ppo/gae.h"

#include <cstddef>
#include <cstdint>

namespace backflip::learn {

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
    double next_value = pieces[i].end == experience::End::kTerminal ? 0 : next_values[i];
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
