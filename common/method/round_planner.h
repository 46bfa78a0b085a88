// How many questions a round asks, and what they are like.
#ifndef BACKFLIP_COMMON_METHOD_ROUND_PLANNER_H_
#define BACKFLIP_COMMON_METHOD_ROUND_PLANNER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "common/learn/reward/ensemble.h"
#include "common/learn/selectors/selector.h"
#include "common/method/ensemble_fitter.h"

namespace backflip::method {

// A question to open.
struct PlannedQuestion {
  int overlap = 1;        // answers that it wants
  bool progress = false;  // a PROGRESS question is opened with it
};

// Labels to ask for so that `wanted` come in all, when `counted` have come and
// `open` places of earlier questions wait for theirs. What an answer like "cannot
// tell" leaves missing is asked again in the next round, by being wanted still.
inline int64_t LabelsToAsk(int64_t wanted, int64_t counted, int64_t open) {
  return std::max<int64_t>(0, wanted - counted - open);
}

// Where people answer: LabelsToAsk by how fast they do. There are always some
// questions ready while the schedule wants `scheduled` labels, so that nobody waits
// for a pair: up to kBuffer ahead of the schedule. But no more are open than
// labelers will soon come to, for later ones are chosen by a better ensemble
// among clips of a better policy. `budget`: labels of the run.
inline constexpr int64_t kBuffer = 16;
inline constexpr int64_t kOpenPerLabeler = 4;
inline int64_t LabelsToAskPeople(int64_t scheduled, int64_t budget, int64_t counted, int64_t open,
                                 int64_t active_labelers) {
  const int64_t wanted = std::min(budget, scheduled + kBuffer);
  const int64_t room = std::max(kBuffer, kOpenPerLabeler * active_labelers) - open;
  return std::max<int64_t>(0, std::min(LabelsToAsk(wanted, counted, open), room));
}

// Questions of `round` that give `labels` labels. queries.overlap_share of them
// want queries.overlap answers, the others one, and queries.progress_share have a
// PROGRESS question beside them: drawn by (seed, round, place in the round).
std::vector<PlannedQuestion> PlanRound(const v1::RunSpec& spec, int64_t round, int64_t labels);

// Which of `size` clips stands on `side` (0: of the newest, 1: of earlier ones) of the
// PROGRESS question beside the question at `place` of `round`.
size_t ProgressClip(const v1::RunSpec& spec, int64_t round, size_t place, int side, size_t size);

// The ensemble that chooses a run's clips by disagreement: null where it is not
// trained yet, or the run asks about any clips. It is the fitter's.
const learn::RewardEnsemble* ChoosingEnsemble(const v1::RunSpec& spec,
                                              const EnsembleFitter& fitter);

// The seed of everything that is drawn to choose clips of a run.
uint64_t SelectionSeed(const v1::RunSpec& spec);

// Up to `wanted` pairs of `candidates` for a round's questions: those about which
// the members of `ensemble` disagree most, or, where it is null, any.
absl::StatusOr<std::vector<learn::SelectedPair>> SelectPairs(
    const v1::RunSpec& spec, const learn::RewardEnsemble* ensemble,
    const std::vector<const learn::Clip*>& candidates, int wanted, int64_t round);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_ROUND_PLANNER_H_
