// Progress as people see it: how often they prefer the newest policy to earlier ones, and whether
// that agrees with the predicted return.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_PROGRESS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_PROGRESS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/preference_broker/trust/intervals.h"

namespace backflip::trust {

// One comparison of the policy of a batch with an earlier one.
struct ProgressAnswer {
  int64_t iteration = 0;
  double won = 0;  // 1, 0, or one half for a tie
};

struct ProgressPoint {
  int64_t iteration = 0;  // of its newest answer
  int64_t answers = 0;
  double win_rate = 0;
  Interval interval;  // 90 %, Wilson's
};

// At most twenty points of about equally many answers, at least ten each; one point for fewer than
// twenty answers. Answers and points are oldest first.
std::vector<ProgressPoint> ProgressPoints(const std::vector<ProgressAnswer>& answers);

struct SeriesPoint {
  int64_t iteration = 0;
  double value = 0;
};

// A warning, as a sentence, that the reward may be gamed: over the last three progress points (or
// two, if there are no more) the predicted return rose by more than a tenth of the range that it
// has had, while the win rate did not rise, and may be no better than one half.
// `predicted_return` is oldest first. nullopt: no such sign.
std::optional<std::string> GamedReward(const std::vector<ProgressPoint>& progress,
                                       const std::vector<SeriesPoint>& predicted_return);

}  // namespace backflip::trust

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_PROGRESS_H_
