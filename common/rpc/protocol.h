// What both ends of the protocol in proto/backflip/v1 agree on.
#ifndef BACKFLIP_COMMON_RPC_PROTOCOL_H_
#define BACKFLIP_COMMON_RPC_PROTOCOL_H_

namespace backflip::rpc {

// Additive changes raise the minor version; peers of another major version are
// refused.
inline constexpr int kProtocolMajor = 1;
inline constexpr int kProtocolMinor = 1;

// Both ends of a Collect stream send a heartbeat this often, and hold a peer
// that was silent for kSilenceSeconds for dead.
inline constexpr int kHeartbeatSeconds = 5;
inline constexpr int kSilenceSeconds = 15;

// So many policies a worker keeps of each stream: those that came last. A
// learner sends an older one again before it names it.
inline constexpr int kPoliciesKept = 4;

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_PROTOCOL_H_
