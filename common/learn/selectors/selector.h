// Which candidates become questions.
//
// A selector is a strategy in a file of its own. To add one: its value in run.proto's
// enum Selector, its file, and a line in MakeSelector.
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_SELECTOR_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_SELECTOR_H_

#include <cstdint>
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
  virtual ~Selector() = default;

  // As questions and exports record it.
  virtual absl::string_view name() const = 0;

  // `wanted` pairs of different candidates; fewer when there are fewer, none among fewer
  // than two candidates. No pair comes twice, in either order.
  virtual absl::StatusOr<std::vector<SelectedPair>> Select(
      const std::vector<experience::ClipPointer>& candidates, int wanted, uint64_t seed,
      uint64_t round) const = 0;

  // Each pair completed to `clips` different candidates, for a ranking; the pair comes
  // first. Fewer where there are fewer candidates. Unless overridden, with any clips.
  virtual absl::StatusOr<std::vector<std::vector<int>>> Complete(
      const std::vector<experience::ClipPointer>& candidates,
      const std::vector<SelectedPair>& pairs, int clips, uint64_t seed, uint64_t round) const;
};

// The selector of queries.selector. `ensemble` outlives it; null: not trained yet, and
// clips are chosen uniformly, whatever the run asks for.
std::unique_ptr<Selector> MakeSelector(const v1::Queries& queries, const RewardEnsemble* ensemble);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_SELECTOR_H_
