// When labels are asked for.
#ifndef BACKFLIP_COMMON_LEARN_SCHEDULE_H_
#define BACKFLIP_COMMON_LEARN_SCHEDULE_H_

#include <cstdint>

namespace backflip::learn {

struct LabelSchedule {
  enum class Kind {
    // The rate falls with 2e6 / (steps + 2e6) (Christiano et al. 2017, A.1).
    kAnnealed,
    // The same number for every step.
    kUniform,
  };
  Kind kind = Kind::kAnnealed;
  int64_t labels = 900;              // the whole budget
  double initial_fraction = 0.25;    // asked before the policy has learned
  int64_t total_steps = 2'400'000;   // over which the rest is spread
};

// How many labels of the budget are due, in all, after `steps` steps: never
// decreasing, `labels` from total_steps on.
int64_t LabelsDue(const LabelSchedule& schedule, int64_t steps);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_SCHEDULE_H_
