// ENTROPY: pairs that the ensemble as a whole is least sure of (entropy-based sampling of
// B-Pref, Lee et al. 2021). Members may agree that a pair is nearly even.
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_ENTROPY_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_ENTROPY_H_

#include <cmath>
#include <vector>

#include "common/learn/selectors/scored.h"

namespace backflip::learn {

class EntropySelector : public ScoredSelector {
 public:
  using ScoredSelector::ScoredSelector;
  absl::string_view name() const override { return "entropy"; }

 protected:
  // The entropy, in nats, of the members' mean predicted preference.
  double Score(const std::vector<double>& left, const std::vector<double>& right) const override {
    double mean = 0;
    for (size_t m = 0; m < left.size(); ++m) {
      mean += Preference(left[m], right[m]) / static_cast<double>(left.size());
    }
    const auto term = [](double p) { return p > 0 ? -p * std::log(p) : 0; };
    return term(mean) + term(1 - mean);
  }
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_ENTROPY_H_
