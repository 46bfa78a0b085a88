#include "common/learn/selectors/rankings.h"

#include <algorithm>

#include "common/learn/random.h"

namespace backflip::learn {
namespace {

constexpr uint64_t kRankingDraws = 0x4a4c;
// Candidates that each further clip of a ranking is chosen among, by score.
constexpr int kDrawnForRanking = 32;

}  // namespace

std::vector<std::vector<int>> CompleteToRankings(
    int candidates, const std::vector<SelectedPair>& pairs, int clips, uint64_t seed,
    uint64_t round, const std::function<double(int clip, int other)>& score) {
  clips = std::min(clips, candidates);
  std::vector<std::vector<int>> rankings;
  for (const SelectedPair& pair : pairs) {
    std::vector<int>& ranking = rankings.emplace_back();
    ranking = {pair.left, pair.right};
    KeyedRandom random(seed, kRankingDraws, round, rankings.size());
    while (static_cast<int>(ranking.size()) < clips) {
      int chosen = -1;
      double most = -1;
      for (int drawn = 0; drawn < (score ? kDrawnForRanking : 1);) {
        const int clip = static_cast<int>(random.Below(candidates));
        if (std::count(ranking.begin(), ranking.end(), clip) > 0) continue;
        ++drawn;
        double sum = 0;
        if (score) {
          for (const int other : ranking) sum += score(clip, other);
        }
        if (sum > most) {
          most = sum;
          chosen = clip;
        }
      }
      ranking.push_back(chosen);
    }
  }
  return rankings;
}

}  // namespace backflip::learn
