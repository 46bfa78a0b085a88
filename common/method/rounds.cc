#include "common/method/rounds.h"

#include <algorithm>

#include "common/method/pace.h"

namespace backflip::method {
namespace {

int64_t BatchesPerRound(const v1::RunSpec& spec) {
  const int64_t batch_steps = spec.collection().batch_steps();
  return std::max<int64_t>(1, (spec.queries().round_steps() + batch_steps - 1) / batch_steps);
}

}  // namespace

int64_t BatchOfRound(const v1::RunSpec& spec, int64_t round) {
  return round * BatchesPerRound(spec);
}

int64_t RoundAt(const v1::RunSpec& spec, int64_t batch) {
  return batch < 0 ? -1 : batch / BatchesPerRound(spec);
}

int64_t RewardIteration(const v1::RunSpec& spec, int64_t iteration) {
  return BatchOfRound(spec, RoundAt(spec, iteration - 1)) + 1;
}

int64_t LabelsWantedIn(const v1::RunSpec& spec, int64_t round) {
  return LabelsWantedAt(spec, BatchOfRound(spec, round + 1) * spec.collection().batch_steps());
}

}  // namespace backflip::method
