// Limits that both sides of every connection agree on.
#ifndef BACKFLIP_COMMON_RPC_LIMITS_H_
#define BACKFLIP_COMMON_RPC_LIMITS_H_

namespace backflip::rpc {

// Larger things (bundles, snapshots, checkpoints) travel in chunks.
inline constexpr int kMaxMessageBytes = 4 << 20;
// A peer that answers no ping for kKeepaliveTimeoutMs is dead.
inline constexpr int kKeepaliveMs = 10'000;
inline constexpr int kKeepaliveTimeoutMs = 5'000;

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_LIMITS_H_
