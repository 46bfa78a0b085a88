#include "common/learn/selectors/selector.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "common/base/status_macros.h"
#include "common/learn/random.h"

namespace backflip::learn {
namespace {

// Candidates that each further clip of a ranking is chosen among.
constexpr int kDrawnForRanking = 32;

// Variance over the members of the predicted preference between clips with
// these returns.
double Disagreement(const std::vector<double>& left, const std::vector<double>& right) {
  double sum = 0, squares = 0;
  for (size_t m = 0; m < left.size(); ++m) {
    const double preference = 1 / (1 + std::exp(right[m] - left[m]));
    sum += preference;
    squares += preference * preference;
  }
  const double mean = sum / static_cast<double>(left.size());
  return squares / static_cast<double>(left.size()) - mean * mean;
}

}  // namespace

std::vector<SelectedPair> SelectUniformly(int candidates, int wanted, uint64_t seed,
                                          uint64_t round) {
  std::vector<SelectedPair> pairs;
  if (candidates < 2) return pairs;
  const int64_t possible = static_cast<int64_t>(candidates) * (candidates - 1) / 2;
  wanted = static_cast<int>(std::min<int64_t>(wanted, possible));
  KeyedRandom random(seed, base::Draw::kPairs, round);
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
    const RewardEnsemble& ensemble, const std::vector<const Clip*>& candidates, int wanted,
    int oversampling, uint64_t seed, uint64_t round) {
  std::vector<SelectedPair> pairs =
      SelectUniformly(static_cast<int>(candidates.size()), wanted * oversampling, seed, round);
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
    pair.score = Disagreement(returns[position[pair.left]], returns[position[pair.right]]);
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const SelectedPair& a, const SelectedPair& b) { return a.score > b.score; });
  if (static_cast<int>(pairs.size()) > wanted) pairs.resize(wanted);
  return pairs;
}

absl::StatusOr<std::vector<std::vector<int>>> CompleteToRankings(
    const RewardEnsemble* ensemble, const std::vector<const Clip*>& candidates,
    const std::vector<SelectedPair>& pairs, int clips, uint64_t seed, uint64_t round) {
  const int64_t all = static_cast<int64_t>(candidates.size());
  clips = static_cast<int>(std::min<int64_t>(clips, all));
  std::vector<std::vector<double>> returns;
  if (ensemble != nullptr && clips > 2) {
    ASSIGN_OR_RETURN(returns, ensemble->ClipReturns(candidates));
  }
  std::vector<std::vector<int>> rankings;
  for (const SelectedPair& pair : pairs) {
    std::vector<int>& ranking = rankings.emplace_back();
    ranking = {pair.left, pair.right};
    KeyedRandom random(seed, base::Draw::kRankings, round, rankings.size());
    while (static_cast<int>(ranking.size()) < clips) {
      int chosen = -1;
      double most = -1;
      for (int drawn = 0; drawn < (returns.empty() ? 1 : kDrawnForRanking);) {
        const int clip = static_cast<int>(random.Below(all));
        if (std::count(ranking.begin(), ranking.end(), clip) > 0) continue;
        ++drawn;
        double disagreement = 0;
        if (!returns.empty()) {
          for (const int other : ranking) {
            disagreement += Disagreement(returns[clip], returns[other]);
          }
        }
        if (disagreement > most) {
          most = disagreement;
          chosen = clip;
        }
      }
      ranking.push_back(chosen);
    }
  }
  return rankings;
}

}  // namespace backflip::learn
