#include "common/learn/selectors/disagreement.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "common/base/status_macros.h"
#include "common/learn/selectors/rankings.h"
#include "common/learn/selectors/uniform.h"

namespace backflip::learn {
namespace {

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

absl::StatusOr<std::vector<SelectedPair>> DisagreementSelector::Select(
    const std::vector<experience::ClipPointer>& candidates, int wanted, uint64_t seed,
    uint64_t round) const {
  std::vector<SelectedPair> pairs =
      SelectUniformly(static_cast<int>(candidates.size()), wanted * oversampling_, seed, round);
  // score each clip once
  std::map<int, int> position;
  std::vector<experience::ClipPointer> clips;
  for (const SelectedPair& pair : pairs) {
    for (const int clip : {pair.left, pair.right}) {
      if (position.emplace(clip, static_cast<int>(clips.size())).second) {
        clips.push_back(candidates[clip]);
      }
    }
  }
  ASSIGN_OR_RETURN(const auto returns, ensemble_.ClipReturns(clips));
  for (SelectedPair& pair : pairs) {
    pair.score = Disagreement(returns[position[pair.left]], returns[position[pair.right]]);
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const SelectedPair& a, const SelectedPair& b) { return a.score > b.score; });
  if (static_cast<int>(pairs.size()) > wanted) pairs.resize(wanted);
  return pairs;
}

absl::StatusOr<std::vector<std::vector<int>>> DisagreementSelector::Complete(
    const std::vector<experience::ClipPointer>& candidates, const std::vector<SelectedPair>& pairs,
    int clips, uint64_t seed, uint64_t round) const {
  std::vector<std::vector<double>> returns;
  if (clips > 2) {
    ASSIGN_OR_RETURN(returns, ensemble_.ClipReturns(candidates));
  }
  return CompleteToRankings(
      static_cast<int>(candidates.size()), pairs, clips, seed, round,
      [&](int clip, int other) { return Disagreement(returns[clip], returns[other]); });
}

}  // namespace backflip::learn
