// DISAGREEMENT: pairs whose predicted preference varies most over the ensemble's members
// (Christiano et al. 2017, section 2.2.4).
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_DISAGREEMENT_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_DISAGREEMENT_H_

#include <vector>

#include "common/learn/selectors/scored.h"

namespace backflip::learn {

class DisagreementSelector : public ScoredSelector {
 public:
  using ScoredSelector::ScoredSelector;
  absl::string_view name() const override { return "disagreement"; }

 protected:
  // The variance over the members.
  double Score(const std::vector<double>& left, const std::vector<double>& right) const override {
    double sum = 0, squares = 0;
    for (size_t m = 0; m < left.size(); ++m) {
      const double preference = Preference(left[m], right[m]);
      sum += preference;
      squares += preference * preference;
    }
    const double mean = sum / static_cast<double>(left.size());
    return squares / static_cast<double>(left.size()) - mean * mean;
  }
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_DISAGREEMENT_H_
