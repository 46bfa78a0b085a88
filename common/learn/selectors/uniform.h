// RANDOM: any pairs.
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_UNIFORM_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_UNIFORM_H_

#include <cstdint>
#include <vector>

#include "common/learn/selectors/selector.h"

namespace backflip::learn {

// What Selector::Select promises, among `candidates` candidates, each pair with the same
// probability and the score 0.
std::vector<SelectedPair> SelectUniformly(int candidates, int wanted, uint64_t seed,
                                          uint64_t round);

class UniformSelector : public Selector {
 public:
  absl::string_view name() const override { return "random"; }
  absl::StatusOr<std::vector<SelectedPair>> Select(
      const std::vector<experience::ClipPointer>& candidates, int wanted, uint64_t seed,
      uint64_t round) const override;
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_UNIFORM_H_
