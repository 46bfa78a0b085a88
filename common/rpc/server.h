// A gRPC server with what all services have: health, reflection, keepalive, message limits, drain.
#ifndef BACKFLIP_COMMON_RPC_SERVER_H_
#define BACKFLIP_COMMON_RPC_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace backflip::rpc {

struct ServerOptions {
  // host:port or unix:path; port 0 takes a free one.
  std::string listen;
  // Not owned; must outlive the server.
  std::vector<grpc::Service*> services;
  // Called once at the beginning of a drain, from the thread that calls Drain:
  // long polls answer and streams half-close. May be null.
  std::function<void()> on_drain;
  // Methods that clients need no certificate for, where the others do (see CredentialsAt).
  std::set<std::string> without_certificate = {};
};

class Server {
 public:
  // Listens and serves. Health is SERVING from now on.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options);
  ~Server();

  // Where it listens: host:port with the actual port, or unix:path.
  const std::string& address() const { return address_; }

  // A channel to the services without a socket. Must not be used once Drain has returned.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // What health says from now on. Not during Drain or after it.
  void SetServing(bool serving);

  // Health turns NOT_SERVING, on_drain is called, new calls are refused, and
  // calls in progress get `grace` to end before they are cancelled. Blocks
  // until all have ended. Idempotent.
  void Drain(absl::Duration grace);

 private:
  Server() = default;
  std::string address_;
  std::function<void()> on_drain_;
  std::unique_ptr<grpc::Server> server_;
};

// The bearer token of a call; empty: none.
std::string BearerToken(const grpc::CallbackServerContext& context);

// Waits until the health service at `address` says SERVING, at most `timeout`. Blocks.
absl::Status WaitHealthy(const std::string& address, absl::Duration timeout);

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_SERVER_H_
