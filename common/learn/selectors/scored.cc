#include "common/learn/selectors/scored.h"

#include <algorithm>
#include <map>

#include "common/base/status_macros.h"

namespace backflip::learn {

absl::StatusOr<std::vector<SelectedPair>> ScoredSelector::Select(const Candidates& candidates,
                                                                 int wanted, uint64_t seed,
                                                                 uint64_t round) const {
  ASSIGN_OR_RETURN(std::vector<SelectedPair> pairs,
                   Selector::Select(candidates, wanted * oversampling_, seed, round));
  if (pairs.empty()) return pairs;
  // score each clip once
  std::map<int, int> position;
  Candidates clips;
  for (const SelectedPair& pair : pairs) {
    for (const int clip : {pair.left, pair.right}) {
      if (position.emplace(clip, static_cast<int>(clips.size())).second) {
        clips.push_back(candidates[clip]);
      }
    }
  }
  ASSIGN_OR_RETURN(const auto returns, ensemble_.ClipReturns(clips));
  for (SelectedPair& pair : pairs) {
    pair.score = Score(returns[position[pair.left]], returns[position[pair.right]]);
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const SelectedPair& a, const SelectedPair& b) { return a.score > b.score; });
  if (static_cast<int>(pairs.size()) > wanted) pairs.resize(wanted);
  return pairs;
}

absl::StatusOr<std::vector<std::vector<int>>> ScoredSelector::Complete(
    const Candidates& candidates, const std::vector<SelectedPair>& pairs, int clips, uint64_t seed,
    uint64_t round) const {
  std::vector<std::vector<double>> returns;
  if (clips > 2) {
    ASSIGN_OR_RETURN(returns, ensemble_.ClipReturns(candidates));
  }
  return CompleteBy([&](int clip, int other) { return Score(returns[clip], returns[other]); },
                    candidates.size(), pairs, clips, seed, round);
}

}  // namespace backflip::learn
