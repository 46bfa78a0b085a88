#include "common/method/batches.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/options/run_spec.h"
#include "gtest/gtest.h"

namespace backflip::method {
namespace {

// Kolmogorov and Smirnov's distance of `values` to the uniform distribution over 0 … bound − 1.
double DistanceToUniform(std::vector<int> values, int bound) {
  std::sort(values.begin(), values.end());
  double distance = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double share = static_cast<double>(i + 1) / static_cast<double>(values.size());
    distance = std::max(distance, std::abs(share - (values[i] + 1.0) / bound));
  }
  return distance;
}

TEST(FirstEpisodeStep, MakesEachBatchHoldAllPartsOfAnEpisode) {
  const v1::RunSpec spec = options::DefaultRunSpec();
  constexpr int kEpisode = 1000;  // longer than a batch's 512 steps
  const int environments = spec.collection().environments();
  std::vector<int> counts, ages(environments, 0);
  for (int e = 0; e < environments; ++e) counts.push_back(FirstEpisodeStep(spec, kEpisode, e));
  for (int batch = 0; batch < 6; ++batch) {
    std::vector<int> counted, seen;
    for (int e = 0; e < environments; ++e) {
      for (int step = 0; step < StepsPerEnvironment(spec); ++step) {
        counted.push_back(counts[e]++);
        seen.push_back(ages[e]++);
        if (counts[e] == kEpisode) counts[e] = ages[e] = 0;
      }
    }
    EXPECT_LT(DistanceToUniform(counted, kEpisode), 0.1) << "batch " << batch;
    // the first episodes begin at a reset, whatever they count as
    if (batch > 1) {
      EXPECT_LT(DistanceToUniform(seen, kEpisode), 0.1) << "batch " << batch;
    }
  }
}

}  // namespace
}  // namespace backflip::method
