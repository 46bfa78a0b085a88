// Rounds: when questions are asked and the ensemble is fitted, in lockstep. A schedule of
// its own beside the batches: queries.round_steps, in steps. Learner and trainer agree on
// it by these functions alone.
//
// The first round follows the last of the initial batches, and later ones come every
// round_steps, rounded up to whole batches; 0: a round after each batch. They are numbered as
// if the first one had followed batch 0: a batch's round stays the same when a run is
// continued with more labels and steps, which more initial batches would belong to. Iteration
// i is rewarded by the ensemble of the last round that followed a batch before i; it is
// published as the reward of the iteration after its batch. All counts begin at 0; the initial
// batches have no reward.
#ifndef BACKFLIP_COMMON_METHOD_ROUNDS_H_
#define BACKFLIP_COMMON_METHOD_ROUNDS_H_

#include <cstdint>

#include "backflip/v1/run.pb.h"

namespace backflip::method {

// How many batches the initial policy collects before the first questions: as many as have
// two clips for each label of the first round (without lockstep: of first_labels), so that these
// are about many clips and not about the same few again and again; but no more than a quarter of
// the run's, and no more than have queries.pool clips. At least one.
int64_t InitialBatches(const v1::RunSpec& spec);

// The number of the first round.
int64_t FirstRound(const v1::RunSpec& spec);

// The batch that `round`, the first or a later one, follows.
int64_t BatchOfRound(const v1::RunSpec& spec, int64_t round);

// The last round, of those that would follow initial batches too, at `batch`; -1 for batch -1.
int64_t RoundAt(const v1::RunSpec& spec, int64_t batch);

// The last round of which all answers are there before `batch` begins; -1: none. Without lockstep
// those of any round may be.
int64_t AnsweredRound(const v1::RunSpec& spec, int64_t batch);

// The iteration that the reward of iteration `iteration`, InitialBatches or more, was published
// for.
int64_t RewardIteration(const v1::RunSpec& spec, int64_t iteration);

// Labels that are wanted in all once the questions of `round` are answered: what the
// schedule wants by the next round.
int64_t LabelsWantedIn(const v1::RunSpec& spec, int64_t round);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_ROUNDS_H_
