// What random numbers are drawn for: the one list of keys that keep the draws of one
// seed apart. Recorded runs depend on the values: they never change, and a new use
// takes a value that no other has (tests/unit/common/base/base_test.cc checks it).
#ifndef BACKFLIP_COMMON_BASE_DRAWS_H_
#define BACKFLIP_COMMON_BASE_DRAWS_H_

#include <cstdint>

#include "common/base/random.h"

namespace backflip::base {

// After each: what follows it among the keys.
enum class Draw : uint64_t {
  // From a run's seed.
  kEnvironment = 1,                // environment: the start of training
  kClips = 2,                      // batch, ticket: which clips are cut
  kPpo = 3,                        // PPO's seed
  kEvaluation = 4,                 // episode
  kFinalEvaluation = 5,            // episode
  kEnsemble = 0x656e73656d626c65,  // the ensemble's seed
  kSelection = 0x73656c656374,     // the selectors' seed
  kOverlap = 0x6f7665726c6170,     // round, place: whether a question wants more answers
  kProgress = 0x70726f6772657373,  // round, place (, side): progress questions, their clips
  kWinners = 0x77696e6e657273,     // round: how many questions are about winners
  kSide = 0x73696465,              // question, labeler: which clip is on the left
  kCheck = 0x63686563,             // labeler, lease: whether it is a check, and which
  kRestart = 0x72657374617274,    // batch, environment, number: restarts (common/method/restarts.h)
  kReservoir = 0x7265736572766f,  // novelty's: number of the observation
  kTeacher = 0x74656163686572,    // ordinal: who answers, in tools/learning_loop
  // From PPO's seed.
  kPpoUpdate = 0x9900,  // update: minibatches; 0: initial weights
  // From the ensemble's seed.
  kEnsembleWeights = 0x7001,
  kBootstrap = 0x7002,          // ordinal, member
  kEnsembleMinibatch = 0x7003,  // update, member
  kHeldOut = 0x7004,            // update: labels that losses are compared on
  kHeldOutClip = 0x7005,        // clip's content, member
  // From the selectors' seed.
  kPairs = 0x5e1ec7,   // round
  kRankings = 0x4a4c,  // round, ranking
};

// From a teacher's own seed; then the contents of both clips.
enum class TeacherDraw : uint64_t { kChoice = 1, kMistake = 2, kRandom = 3, kRandomSide = 4 };

// The seed of one draw: `keys` are integers.
template <typename... Keys>
uint64_t SeedOf(uint64_t seed, Draw draw, Keys... keys) {
  return SeedOf({seed, static_cast<uint64_t>(draw), static_cast<uint64_t>(keys)...});
}

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_DRAWS_H_
