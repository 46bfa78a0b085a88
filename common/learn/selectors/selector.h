// Which candidates become questions.
//
// A selector is a strategy in a file of its own. To add one: its value in run.proto's
// enum Selector, its file, and a case in MakeSelector.
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_SELECTOR_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_SELECTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/run.pb.h"
#include "common/experience/clip.h"
#include "common/learn/reward/ensemble.h"

namespace backflip::learn {

struct SelectedPair {
  int left = 0;  // positions among the candidates; never equal
  int right = 0;
  double score = 0;  // the selector's; 0 where it has none
};

// All draws depend on (seed, round) alone. Candidates have equal length.
class Selector {
 public:
  using Candidates = std::vector<experience::ClipPointer>;

  virtual ~Selector() = default;

  // As questions and exports record it.
  virtual absl::string_view name() const = 0;

  // `wanted` pairs of different candidates; fewer when there are fewer, none among fewer
  // than two candidates. No pair comes twice, in either order. Unless overridden, any, but no
  // candidate comes again before all have come.
  virtual absl::StatusOr<std::vector<SelectedPair>> Select(const Candidates& candidates, int wanted,
                                                           uint64_t seed, uint64_t round) const;

  // Each pair completed to `clips` different candidates, for a ranking; the pair comes
  // first. Fewer where there are fewer candidates. Unless overridden, with any clips.
  virtual absl::StatusOr<std::vector<std::vector<int>>> Complete(
      const Candidates& candidates, const std::vector<SelectedPair>& pairs, int clips,
      uint64_t seed, uint64_t round) const {
    return CompleteBy(nullptr, candidates.size(), pairs, clips, seed, round);
  }

 protected:
  // Completes pairs with clips that have, of some drawn ones, the greatest sum of `score`
  // with each clip that is in the ranking already; null: with any drawn ones.
  static std::vector<std::vector<int>> CompleteBy(
      const std::function<double(int clip, int other)>& score, size_t candidates,
      const std::vector<SelectedPair>& pairs, int clips, uint64_t seed, uint64_t round);
};

// The selector of queries.selector. `ensemble` outlives it; null: not trained yet, and
// any clips are chosen, whatever the run asks for.
std::unique_ptr<Selector> MakeSelector(const v1::Queries& queries, const RewardEnsemble* ensemble);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_SELECTOR_H_
