// RANDOM: any pairs, each with the same probability.
#ifndef BACKFLIP_COMMON_LEARN_SELECTORS_UNIFORM_H_
#define BACKFLIP_COMMON_LEARN_SELECTORS_UNIFORM_H_

#include "common/learn/selectors/selector.h"

namespace backflip::learn {

class UniformSelector : public Selector {
 public:
  absl::string_view name() const override { return "random"; }
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SELECTORS_UNIFORM_H_
