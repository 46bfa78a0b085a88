// How many questions a round asks, and what they are like.
#ifndef BACKFLIP_COMMON_METHOD_ROUND_PLANNER_H_
#define BACKFLIP_COMMON_METHOD_ROUND_PLANNER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "backflip/v1/run.pb.h"

namespace backflip::method {

// A question to open.
struct PlannedQuestion {
  int overlap = 1;        // answers that it wants
  bool progress = false;  // a PROGRESS question is opened with it
};

// Number of labels to request so that `wanted` arrive in total, given `counted` received
// and `open` still expected. A "cannot tell" does not count, so its label is requested
// again in the next round.
inline int64_t LabelsToAsk(int64_t wanted, int64_t counted, int64_t open) {
  return std::max<int64_t>(0, wanted - counted - open);
}

// LabelsToAsk for people, by how fast they answer. Up to kBuffer questions are ready
// ahead of the `scheduled` labels, so that nobody waits for a pair. But no more are open
// than labelers will answer soon: later questions are chosen by a better ensemble among
// clips of a better policy. `budget`: labels of the run.
inline constexpr int64_t kBuffer = 16;
inline constexpr int64_t kOpenPerLabeler = 4;
inline int64_t LabelsToAskPeople(int64_t scheduled, int64_t budget, int64_t counted, int64_t open,
                                 int64_t active_labelers) {
  const int64_t wanted = std::min(budget, scheduled + kBuffer);
  const int64_t room = std::max(kBuffer, kOpenPerLabeler * active_labelers) - open;
  return std::max<int64_t>(0, std::min(LabelsToAsk(wanted, counted, open), room));
}

// Questions of `round` that give `labels` labels, or a few more. queries.overlap_share of
// them want queries.overlap answers, the others one, and queries.progress_share have a
// PROGRESS question beside them: drawn by (seed, round, place in the round).
std::vector<PlannedQuestion> PlanRound(const v1::RunSpec& spec, int64_t round, int64_t labels);

// Which of `size` clips stands on `side` (0: of the newest, 1: of earlier ones) of the
// PROGRESS question beside the question at `place` of `round`.
size_t ProgressClip(const v1::RunSpec& spec, int64_t round, size_t place, int side, size_t size);

// How many of `round`'s `questions` are to be about winners (common/method/winners.h):
// queries.winners_share of them, rounded up or down by (seed, round). 0 where questions are
// rankings.
int WinnerQuestions(const v1::RunSpec& spec, int64_t round, int questions);

// The seed of a run's selector (learn/selectors).
uint64_t SelectionSeed(const v1::RunSpec& spec);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_ROUND_PLANNER_H_
