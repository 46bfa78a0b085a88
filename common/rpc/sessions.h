// How long people stay signed in: the token of a session, and the cookie that holds it.
#ifndef BACKFLIP_COMMON_RPC_SESSIONS_H_
#define BACKFLIP_COMMON_RPC_SESSIONS_H_

namespace backflip::rpc {

// Labelers.
inline constexpr int kLabelingSessionSeconds = 30 * 24 * 3600;
// Reviewers and operators.
inline constexpr int kDashboardSessionSeconds = 12 * 3600;

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_SESSIONS_H_
