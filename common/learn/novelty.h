// How unlike all else a moment is: what a policy learns from before there is an ensemble, so that
// the first clips show more than trembling. The particle estimate of the entropy of observations,
// as PEBBLE has it (Lee, Smith, Abbeel 2021, "PEBBLE: feedback-efficient interactive reinforcement
// learning via relabeling experience and unsupervised pre-training"): log(1 + d), where d is the
// distance to the 5th nearest of 1,024 observations of the newest batch and 1,024 of all before it,
// each number in its own deviations.
#ifndef BACKFLIP_COMMON_LEARN_NOVELTY_H_
#define BACKFLIP_COMMON_LEARN_NOVELTY_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/experience/trajectory.h"
#include "common/learn/algorithm.h"
#include "common/nn/normalizer.h"
#include "common/nn/snapshot.h"

namespace backflip::learn {

// Not thread-safe. A score costs some microseconds a step.
class Novelty final : public Rewarder {
 public:
  // `seed`: the run's. It decides which observations are kept.
  Novelty(uint64_t seed, int observation_size)
      : seed_(seed), size_(observation_size), normalizer_(observation_size) {}

  // Takes in the newest batch, which later scores compare with.
  void Observe(const experience::Batch& batch);

  int64_t version() const override { return 0; }
  // Nothing but zeros before the first batch.
  std::vector<float> Score(const experience::Trajectory& trajectory) const override;

  // What was observed, so that the next batch is compared with the same. Load: NOT_FOUND or
  // INVALID_ARGUMENT where `state` has none of this size.
  void Save(nn::Snapshot* state) const;
  absl::Status Load(const nn::Snapshot& state);
  static bool IsIn(const nn::Snapshot& state);

 private:
  // Rows [n, size_] of `observations`, normalised.
  std::vector<float> Normalized(const std::vector<float>& observations) const;

  const uint64_t seed_;
  const int size_;
  nn::Normalizer normalizer_;
  int64_t seen_ = 0;               // observations of all batches
  std::vector<float> kept_;        // [up to 1,024, size_]: a sample of them, drawn evenly
  std::vector<float> references_;  // [up to 2,048, size_]: what the newest batch is compared with
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_NOVELTY_H_
