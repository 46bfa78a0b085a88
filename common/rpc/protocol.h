// Constants of the protocol in proto/backflip/v1 that both ends must agree on.
#ifndef BACKFLIP_COMMON_RPC_PROTOCOL_H_
#define BACKFLIP_COMMON_RPC_PROTOCOL_H_

namespace backflip::rpc {

// Additions raise the minor version; peers of another major version are refused.
inline constexpr int kProtocolMajor = 1;
inline constexpr int kProtocolMinor = 4;

// Both ends of a Collect stream send a heartbeat this often, and consider a peer dead that was
// silent for kSilenceSeconds.
inline constexpr int kHeartbeatSeconds = 5;
inline constexpr int kSilenceSeconds = 15;

// Number of policies that a worker keeps per stream: the latest. A learner sends an older one again
// before a ticket names it.
inline constexpr int kPoliciesKept = 4;

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_PROTOCOL_H_
