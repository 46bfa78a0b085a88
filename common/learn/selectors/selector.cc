#include "common/learn/selectors/selector.h"

#include "common/learn/selectors/disagreement.h"
#include "common/learn/selectors/entropy.h"
#include "common/learn/selectors/rankings.h"
#include "common/learn/selectors/uniform.h"

namespace backflip::learn {

absl::StatusOr<std::vector<std::vector<int>>> Selector::Complete(
    const std::vector<experience::ClipPointer>& candidates, const std::vector<SelectedPair>& pairs,
    int clips, uint64_t seed, uint64_t round) const {
  return CompleteToRankings(static_cast<int>(candidates.size()), pairs, clips, seed, round,
                            nullptr);
}

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

}  // namespace backflip::learn
