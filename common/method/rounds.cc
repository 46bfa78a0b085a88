#include "common/method/rounds.h"

#include <algorithm>
#include <limits>

#include "common/method/pace.h"

namespace backflip::method {
namespace {

int64_t BatchesPerRound(const v1::RunSpec& spec) {
  const int64_t batch_steps = spec.collection().batch_steps();
  return std::max<int64_t>(1, (spec.queries().round_steps() + batch_steps - 1) / batch_steps);
}

}  // namespace

int64_t InitialBatches(const v1::RunSpec& spec) {
  const int64_t clips = std::max(1, spec.collection().clips_per_batch());
  const int64_t most =
      std::max<int64_t>(1, std::min(Batches(spec) / 4, spec.queries().pool() / clips));
  const auto labels = [&](int64_t batches) {
    const int64_t per_round = BatchesPerRound(spec);
    const int64_t next_round = ((batches - 1) / per_round + 1) * per_round;
    return spec.lockstep() ? LabelsWantedAt(spec, next_round * spec.collection().batch_steps())
                           : FirstLabels(spec);
  };
  int64_t batches = 1;
  while (batches < most && batches * clips < 2 * labels(batches)) ++batches;
  return batches;
}

int64_t FirstRound(const v1::RunSpec& spec) { return RoundAt(spec, InitialBatches(spec) - 1); }

int64_t BatchOfRound(const v1::RunSpec& spec, int64_t round) {
  return std::max(round * BatchesPerRound(spec), InitialBatches(spec) - 1);
}

int64_t RoundAt(const v1::RunSpec& spec, int64_t batch) {
  return batch < 0 ? -1 : batch / BatchesPerRound(spec);
}

int64_t AnsweredRound(const v1::RunSpec& spec, int64_t batch) {
  if (!spec.lockstep()) return std::numeric_limits<int64_t>::max();
  const int64_t round = RoundAt(spec, batch - 2);
  return batch < 2 || BatchOfRound(spec, round) > batch - 2 ? -1 : round;
}

int64_t RewardIteration(const v1::RunSpec& spec, int64_t iteration) {
  return BatchOfRound(spec, RoundAt(spec, iteration - 1)) + 1;
}

int64_t LabelsWantedIn(const v1::RunSpec& spec, int64_t round) {
  return LabelsWantedAt(spec, BatchOfRound(spec, round + 1) * spec.collection().batch_steps());
}

}  // namespace backflip::method
