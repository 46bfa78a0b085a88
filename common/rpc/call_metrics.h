// How long calls take, by method and code: backflip_rpc_server_seconds,
// backflip_rpc_client_seconds.
#ifndef BACKFLIP_COMMON_RPC_CALL_METRICS_H_
#define BACKFLIP_COMMON_RPC_CALL_METRICS_H_

#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <vector>

namespace backflip::rpc {

// Of each call that a server with these has answered, from its arrival to its status: a long poll
// with its waiting, a stream as a whole. Methods that are not of this program's protocol are one.
std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> MeasuredCalls();

// The same of each attempt of a call that a channel with these has made.
std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
MeasuredAttempts();

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_CALL_METRICS_H_
