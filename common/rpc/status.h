// The one place where absl::Status and grpc::Status meet.
#ifndef BACKFLIP_COMMON_RPC_STATUS_H_
#define BACKFLIP_COMMON_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace backflip::rpc {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_STATUS_H_
