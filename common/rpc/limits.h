// Limits that both ends of a connection share.
#ifndef BACKFLIP_COMMON_RPC_LIMITS_H_
#define BACKFLIP_COMMON_RPC_LIMITS_H_

#include <cstdint>

namespace backflip::rpc {

// Of any message. Larger things (bundles, snapshots, checkpoints) travel in chunks; experience that
// travels whole has experience::kMaxPayloadBytes.
inline constexpr int kMaxMessageBytes = 4 << 20;
inline constexpr int64_t kChunkBytes = 1 << 20;

// A long poll waits at most this long.
inline constexpr int kMaxWaitMs = 25'000;

// A peer that answers no ping for kKeepaliveTimeoutMs is considered dead.
inline constexpr int kKeepaliveMs = 10'000;
inline constexpr int kKeepaliveTimeoutMs = 5'000;

// Clips of a question: 2 in a pair, more in a ranking. The range of queries.clips_per_question in
// run.proto ends there, too.
inline constexpr int kMaxQuestionClips = 8;
// Iterations, rounds, and versions of snapshots.
inline constexpr int64_t kMaxIteration = int64_t{1} << 40;
// Steps of a run, as in run.proto.
inline constexpr int64_t kMaxSteps = 1'000'000'000'000;

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_LIMITS_H_
