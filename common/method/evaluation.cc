#include "common/method/evaluation.h"

#include <algorithm>
#include <cmath>
#include <limits>
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

PredictedReturn PredictReturn(const std::vector<experience::Trajectory>& episodes,
                              const RunReward& reward) {
  std::vector<double> sums;  // by member
  bool diverged = false;
  for (const experience::Trajectory& episode : episodes) {
    const std::vector<double> returns = reward.Returns(episode);
    sums.resize(returns.size());
    for (size_t m = 0; m < sums.size(); ++m) sums[m] += returns[m];
    for (const experience::EpisodeEnd& end : episode.episode_ends) {
      diverged |= end.reason == experience::End::kDiverged;
    }
  }
  const double members = static_cast<double>(sums.size());
  const double mean = std::accumulate(sums.begin(), sums.end(), 0.0) / members;
  double squares = 0;
  for (const double sum : sums) squares += (sum - mean) * (sum - mean);
  const double count = static_cast<double>(episodes.size());
  return {mean / count, diverged ? -std::numeric_limits<double>::infinity()
                                 : (mean - std::sqrt(squares / members)) / count};
}

std::optional<size_t> BestOf(const std::vector<PredictedReturn>& returns) {
  std::optional<size_t> best;
  for (size_t i = 0; i < returns.size(); ++i) {
    if (std::isnan(returns[i].lower)) continue;
    if (!best.has_value() || returns[i].lower > returns[*best].lower) best = i;
  }
  return best;
}

}  // namespace backflip::method
