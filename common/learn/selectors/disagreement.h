// DISAGREEMENT: pairs whose predicted preference varies most over the ensemble's members
// (Christiano et al. 2017, section 2.2.4).
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_DISAGREEMENT_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_DISAGREEMENT_H_

#include <cstdint>
#include <vector>

#include "common/learn/selectors/selector.h"

namespace backflip::learn {

class DisagreementSelector : public Selector {
 public:
  DisagreementSelector(const RewardEnsemble& ensemble, int oversampling)
      : ensemble_(ensemble), oversampling_(oversampling) {}

  absl::string_view name() const override { return "disagreement"; }
  // Keeps the best of `oversampling` × `wanted` uniform pairs, the greatest variance first.
  absl::StatusOr<std::vector<SelectedPair>> Select(
      const std::vector<experience::ClipPointer>& candidates, int wanted, uint64_t seed,
      uint64_t round) const override;
  // With clips whose preference to those already there varies most, on average.
  absl::StatusOr<std::vector<std::vector<int>>> Complete(
      const std::vector<experience::ClipPointer>& candidates,
      const std::vector<SelectedPair>& pairs, int clips, uint64_t seed,
      uint64_t round) const override;

 private:
  const RewardEnsemble& ensemble_;
  const int oversampling_;
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_DISAGREEMENT_H_
