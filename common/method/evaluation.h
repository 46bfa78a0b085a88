// Which policies of a run are kept, how they are evaluated, and which of them is its result.
#ifndef BACKFLIP_COMMON_METHOD_EVALUATION_H_
#define BACKFLIP_COMMON_METHOD_EVALUATION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "backflip/v1/run.pb.h"
#include "common/base/draws.h"
#include "common/experience/trajectory.h"
#include "common/method/run_reward.h"

namespace backflip::method {

// Episodes of a kept policy's evaluation, and those that a run reports of its best one.
inline constexpr int kEvaluationEpisodes = 10;
inline constexpr int kFinalEpisodes = 20;

// Whether policy `iteration` (from 1 on) is one of the `kept` snapshots of a run of `batches`
// batches: evenly spread, the last one always among them.
bool IsKept(int64_t iteration, int64_t batches, int kept);

// The seeds of evaluation episodes; `draw`: kEvaluation or kFinalEvaluation.
std::vector<uint64_t> EpisodeSeeds(const v1::RunSpec& spec, base::Draw draw, int episodes);

// What a policy's evaluation comes to under a reward.
struct PredictedReturn {
  double mean = 0;  // over episodes, of the sum of their rewards
  // The members' mean less their standard deviation (0 for true rewards): a policy that has found
  // what one member gets wrong gains more in the deviation than in the mean. −∞ where the physics
  // of an episode diverged.
  double lower = 0;
};

// Expects at least one episode.
PredictedReturn PredictReturn(const std::vector<experience::Trajectory>& episodes,
                              const RunReward& reward);

// The kept policy that is the run's result, by the returns of all of them under its last reward:
// the first of those with the greatest lower bound. None where there is no number.
std::optional<size_t> BestOf(const std::vector<PredictedReturn>& returns);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_EVALUATION_H_
