#include "common/learn/schedule.h"

#include <algorithm>
#include <cmath>

namespace backflip::learn {

int64_t LabelsDue(const LabelSchedule& schedule, int64_t steps) {
  const double end = static_cast<double>(std::max<int64_t>(1, schedule.total_steps));
  const double now = std::clamp(static_cast<double>(steps), 0.0, end);
  double fraction = now / end;
  if (schedule.kind == LabelSchedule::Kind::kAnnealed) {
    // the integral of the rate
    constexpr double kHalf = 2e6;
    fraction = std::log1p(now / kHalf) / std::log1p(end / kHalf);
  }
  const double due = static_cast<double>(schedule.labels) *
                     (schedule.initial_fraction +
                      (1 - schedule.initial_fraction) * fraction);
  return std::min<int64_t>(schedule.labels, std::llround(due));
}

}  // namespace backflip::learn
