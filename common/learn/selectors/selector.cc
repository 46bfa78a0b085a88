#include "common/learn/selectors/selector.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "common/learn/random.h"
#include "common/learn/selectors/disagreement.h"
#include "common/learn/selectors/entropy.h"
#include "common/learn/selectors/uniform.h"

namespace backflip::learn {
namespace {

// Candidates that each further clip of a ranking is chosen among, by score.
constexpr int kDrawnForRanking = 32;

}  // namespace

std::unique_ptr<Selector> MakeSelector(const v1::Queries& queries, const RewardEnsemble* ensemble) {
  if (ensemble == nullptr) return std::make_unique<UniformSelector>();
  switch (queries.selector()) {
    case v1::DISAGREEMENT:
      return std::make_unique<DisagreementSelector>(*ensemble, queries.oversampling());
    case v1::ENTROPY:
      return std::make_unique<EntropySelector>(*ensemble, queries.oversampling());
    default:
      return std::make_unique<UniformSelector>();
  }
}

absl::StatusOr<std::vector<SelectedPair>> Selector::Select(const Candidates& candidates, int wanted,
                                                           uint64_t seed, uint64_t round) const {
  std::vector<SelectedPair> pairs;
  const int64_t count = static_cast<int64_t>(candidates.size());
  if (count < 2) return pairs;
  wanted = static_cast<int>(std::min<int64_t>(wanted, count * (count - 1) / 2));
  KeyedRandom random(seed, base::Draw::kPairs, round);
  std::set<std::pair<int, int>> drawn;
  std::vector<int> deck;
  const auto deal = [&] {
    if (deck.empty()) {
      deck.resize(count);
      std::iota(deck.begin(), deck.end(), 0);
    }
    std::swap(deck[random.Below(static_cast<int64_t>(deck.size()))], deck.back());
    const int clip = deck.back();
    deck.pop_back();
    return clip;
  };
  while (static_cast<int>(pairs.size()) < wanted) {
    const int left = deal(), right = deal();
    if (left == right || !drawn.insert(std::minmax(left, right)).second) continue;
    pairs.push_back({left, right, 0});
  }
  return pairs;
}

std::vector<std::vector<int>> Selector::CompleteBy(
    const std::function<double(int clip, int other)>& score, size_t candidates,
    const std::vector<SelectedPair>& pairs, int clips, uint64_t seed, uint64_t round) {
  const size_t size = std::min<size_t>(clips, candidates);
  std::vector<std::vector<int>> rankings;
  for (const SelectedPair& pair : pairs) {
    std::vector<int>& ranking = rankings.emplace_back();
    ranking = {pair.left, pair.right};
    KeyedRandom random(seed, base::Draw::kRankings, round, rankings.size());
    while (ranking.size() < size) {
      int chosen = -1;
      double most = -1;
      for (int drawn = 0; drawn < (score ? kDrawnForRanking : 1);) {
        const int clip = static_cast<int>(random.Below(static_cast<int64_t>(candidates)));
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
