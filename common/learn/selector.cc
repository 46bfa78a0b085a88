#include "common/learn/selector.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "common/base/status_macros.h"
#include "common/learn/random.h"

namespace backflip::learn {
namespace {

constexpr uint64_t kSelectionDraws = 0x5e1ec7;

}  // namespace

std::vector<SelectedPair> SelectUniformly(int candidates, int wanted,
                                          uint64_t seed, uint64_t round) {
  std::vector<SelectedPair> pairs;
  if (candidates < 2) return pairs;
  const int64_t possible = static_cast<int64_t>(candidates) * (candidates - 1) / 2;
  wanted = static_cast<int>(std::min<int64_t>(wanted, possible));
  KeyedRandom random(seed, kSelectionDraws, round);
  std::set<std::pair<int, int>> drawn;
  while (static_cast<int>(pairs.size()) < wanted) {
    const int left = static_cast<int>(random.Below(candidates));
    const int right = static_cast<int>(random.Below(candidates));
    if (left == right || !drawn.insert(std::minmax(left, right)).second) {
      continue;
    }
    pairs.push_back({left, right, 0});
  }
  return pairs;
}

absl::StatusOr<std::vector<SelectedPair>> SelectByDisagreement(
    const RewardEnsemble& ensemble, const std::vector<const Clip*>& candidates,
    int wanted, int oversampling, uint64_t seed, uint64_t round) {
  std::vector<SelectedPair> pairs = SelectUniformly(
      static_cast<int>(candidates.size()), wanted * oversampling, seed, round);
  // score each clip once
  std::map<int, int> position;
  std::vector<const Clip*> clips;
  for (const SelectedPair& pair : pairs) {
    for (const int clip : {pair.left, pair.right}) {
      if (position.emplace(clip, static_cast<int>(clips.size())).second) {
        clips.push_back(candidates[clip]);
      }
    }
  }
  ASSIGN_OR_RETURN(const auto returns, ensemble.ClipReturns(clips));
  for (SelectedPair& pair : pairs) {
    const std::vector<double>& left = returns[position[pair.left]];
    const std::vector<double>& right = returns[position[pair.right]];
    double sum = 0, squares = 0;
    for (size_t m = 0; m < left.size(); ++m) {
      const double preference = 1 / (1 + std::exp(right[m] - left[m]));
      sum += preference;
      squares += preference * preference;
    }
    const double mean = sum / static_cast<double>(left.size());
    pair.score = squares / static_cast<double>(left.size()) - mean * mean;
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const SelectedPair& a, const SelectedPair& b) {
                     return a.score > b.score;
                   });
  if (static_cast<int>(pairs.size()) > wanted) pairs.resize(wanted);
  return pairs;
}

}  // namespace backflip::learn
