// The one place where absl::Status and grpc::Status meet.
#ifndef BACKFLIP_COMMON_RPC_STATUS_H_
#define BACKFLIP_COMMON_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace backflip::rpc {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// An error's text as a string field takes it, whatever it quotes: at most 1,500 bytes of
// printable ASCII; "?" stands for others.
std::string Sentence(absl::string_view text);

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_STATUS_H_
