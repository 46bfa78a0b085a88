#include "common/learn/selectors/uniform.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/learn/random.h"

namespace backflip::learn {
namespace {

constexpr uint64_t kSelectionDraws = 0x5e1ec7;

}  // namespace

std::vector<SelectedPair> SelectUniformly(int candidates, int wanted, uint64_t seed,
                                          uint64_t round) {
  std::vector<SelectedPair> pairs;
  if (candidates < 2) return pairs;
  const int64_t possible = static_cast<int64_t>(candidates) * (candidates - 1) / 2;
  wanted = static_cast<int>(std::min<int64_t>(wanted, possible));
  KeyedRandom random(seed, kSelectionDraws, round);
  std::set<std::pair<int, int>> drawn;
  while (static_cast<int>(pairs.size()) < wanted) {
    const int left = static_cast<int>(random.Below(candidates));
    const int right = static_cast<int>(random.Below(candidates));
    if (left == right || !drawn.insert(std::minmax(left, right)).second) continue;
    pairs.push_back({left, right, 0});
  }
  return pairs;
}

absl::StatusOr<std::vector<SelectedPair>> UniformSelector::Select(
    const std::vector<experience::ClipPointer>& candidates, int wanted, uint64_t seed,
    uint64_t round) const {
  return SelectUniformly(static_cast<int>(candidates.size()), wanted, seed, round);
}

}  // namespace backflip::learn
