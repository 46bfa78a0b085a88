// Clips, and comparisons of them: what the reward is learned from.
#ifndef BACKFLIP_COMMON_EXPERIENCE_CLIP_H_
#define BACKFLIP_COMMON_EXPERIENCE_CLIP_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace backflip::experience {

// k consecutive steps of one episode. k + 1 moments: before the first action, and
// after each. Arrays are row-major. Poses, states, true rewards and rubric are empty
// where a clip is only learned from.
struct Clip {
  int32_t steps = 0;
  std::vector<float> observations;  // [steps + 1, observation_size]
  std::vector<float> actions;       // [steps, action_size], as sampled
  std::vector<float> poses;         // [steps + 1, bodies, 7] (v1::Poses)
  std::vector<double> states;       // [steps + 1, state_size]
  std::vector<float> true_rewards;  // [steps]; empty where the task has none
  std::vector<float> rubric;        // as v1::Clip's; empty where the task has none
};

using ClipPointer = std::shared_ptr<const Clip>;

// One comparison that the reward may learn from: a label, or one pair of a ranking.
// "Cannot tell" is no comparison.
struct Comparison {
  int64_t label_id = 0;
  // Position of the question among the run's. It and the seed decide which members
  // of an ensemble take the comparison: the same labels give the same bootstraps
  // whenever they arrive.
  int64_t ordinal = 0;
  ClipPointer left, right;
  // Share of the preference for `left`: 1 left, 0 right, 0.5 a tie.
  float left_preferred = 0.5f;
  int labeler = 0;  // index of the labeler who gave it
  // Of an answer to a pair: 1. A ranking of C clips is worth C - 1 of those, which its
  // C (C - 1) / 2 pairs share.
  float weight = 1;
};

}  // namespace backflip::experience

#endif  // BACKFLIP_COMMON_EXPERIENCE_CLIP_H_
