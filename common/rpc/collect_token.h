// The tokens by which workers are known to a learner.
#ifndef BACKFLIP_COMMON_RPC_COLLECT_TOKEN_H_
#define BACKFLIP_COMMON_RPC_COLLECT_TOKEN_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace backflip::rpc {

// For the holder of the broker's token `token_id`, at a learner that knows `secret`, the
// collect_token of its claim: the number, and its HMAC-SHA256 under the secret, which workers do
// not learn. So the learner knows whose token to ask the broker about.
std::string CollectToken(absl::string_view secret, int64_t token_id);
// The `token_id` of such a token; 0: it was not made with this secret.
int64_t HolderOf(absl::string_view token, absl::string_view secret);

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_COLLECT_TOKEN_H_
