// Selectors that ask about the pairs with the greatest score, which the ensemble gives.
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_SCORED_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_SCORED_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "common/learn/selectors/selector.h"

namespace backflip::learn {

class ScoredSelector : public Selector {
 public:
  ScoredSelector(const RewardEnsemble& ensemble, int oversampling)
      : ensemble_(ensemble), oversampling_(oversampling) {}

  // Keeps the best of `oversampling` × `wanted` pairs, the greatest score first.
  absl::StatusOr<std::vector<SelectedPair>> Select(const Candidates& candidates, int wanted,
                                                   uint64_t seed, uint64_t round) const override;
  // With clips that have great scores with those already there.
  absl::StatusOr<std::vector<std::vector<int>>> Complete(const Candidates& candidates,
                                                         const std::vector<SelectedPair>& pairs,
                                                         int clips, uint64_t seed,
                                                         uint64_t round) const override;

 protected:
  // The score, at least 0, of a pair with these returns [members].
  virtual double Score(const std::vector<double>& left, const std::vector<double>& right) const = 0;

  // A member's predicted preference for a clip of return `left` over one of `right`.
  static double Preference(double left, double right) { return 1 / (1 + std::exp(right - left)); }

 private:
  const RewardEnsemble& ensemble_;
  const int oversampling_;
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_SCORED_H_
