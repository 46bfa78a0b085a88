// Channels, and contexts that carry the caller's token and a deadline.
#ifndef BACKFLIP_COMMON_RPC_CLIENT_H_
#define BACKFLIP_COMMON_RPC_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace backflip::rpc {

// A channel to one address, and the token that is sent with each call. Thread-safe; copies share
// the channel. It connects in the background, and again after a loss; meanwhile calls fail with
// UNAVAILABLE, so wrap them in base::Retry.
class Client {
 public:
  Client(const std::string& address, std::string token);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const std::string& address() const { return address_; }

  // For a unary call: 10 s unless said otherwise.
  std::unique_ptr<grpc::ClientContext> UnaryContext(
      absl::Duration deadline = absl::Seconds(10)) const;
  // For a long poll of kMaxWaitMs: 5 s more than that.
  std::unique_ptr<grpc::ClientContext> LongPollContext() const;
  // For a stream: no deadline; keepalive notices a dead peer within 15 s.
  std::unique_ptr<grpc::ClientContext> StreamContext() const;

 private:
  std::string address_;
  std::string token_;
  std::shared_ptr<grpc::Channel> channel_;
};

// A token from a file, without the white space around it. NOT_FOUND or
// INVALID_ARGUMENT (empty) name the file.
absl::StatusOr<std::string> ReadTokenFile(const std::string& path);

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_CLIENT_H_
