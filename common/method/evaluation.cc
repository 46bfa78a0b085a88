#include "common/method/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace backflip::method {

bool IsKept(int64_t iteration, int64_t batches, int kept) {
  const int64_t n = std::min<int64_t>(kept, batches);
  return iteration * n / batches > (iteration - 1) * n / batches;
}

std::vector<uint64_t> EpisodeSeeds(const v1::RunSpec& spec, base::Draw draw, int episodes) {
  std::vector<uint64_t> seeds;
  for (int i = 0; i < episodes; ++i) seeds.push_back(base::SeedOf(spec.seed(), draw, i));
  return seeds;
}

double MeanReturn(const std::vector<experience::Trajectory>& episodes,
                  const learn::Rewarder& rewarder) {
  double sum = 0;
  for (const experience::Trajectory& episode : episodes) {
    const std::vector<float> rewards = rewarder.Score(episode);
    sum = std::accumulate(rewards.begin(), rewards.end(), sum);
  }
  return sum / static_cast<double>(episodes.size());
}

std::optional<size_t> BestOf(const std::vector<double>& returns) {
  std::optional<size_t> best;
  for (size_t i = 0; i < returns.size(); ++i) {
    if (std::isnan(returns[i])) continue;
    if (!best.has_value() || returns[i] > returns[*best]) best = i;
  }
  return best;
}

}  // namespace backflip::method
