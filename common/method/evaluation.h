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
#include "common/learn/algorithm.h"

namespace backflip::method {

// Episodes of a kept policy's evaluation, and those that a run reports of its best one.
inline constexpr int kEvaluationEpisodes = 10;
inline constexpr int kFinalEpisodes = 20;

// Whether policy `iteration` (from 1 on) is one of the `kept` snapshots of a run of `batches`
// batches: evenly spread, the last one always among them.
bool IsKept(int64_t iteration, int64_t batches, int kept);

// The seeds of evaluation episodes; `draw`: kEvaluation or kFinalEvaluation.
std::vector<uint64_t> EpisodeSeeds(const v1::RunSpec& spec, base::Draw draw, int episodes);

// Mean over episodes of the sum of their rewards. Expects at least one.
double MeanReturn(const std::vector<experience::Trajectory>& episodes,
                  const learn::Rewarder& rewarder);

// The kept policy that is the run's result, by the mean returns of all of them under its last
// reward: the first of the greatest. None where there is no number.
std::optional<size_t> BestOf(const std::vector<double>& returns);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_EVALUATION_H_
