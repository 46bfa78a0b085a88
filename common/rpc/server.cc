#include "common/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/client.h"
#include "common/rpc/limits.h"
#include "common/rpc/status.h"
#include "common/rpc/transport.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace backflip::rpc {

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  ASSIGN_OR_RETURN(const auto credentials,
                   CredentialsAt(options.listen, options.without_certificate));
  static std::once_flag once;
  std::call_once(once, [&] {
    grpc::EnableDefaultHealthCheckService(true);
    // it asks for no token
    if (IsOnThisMachine(options.listen)) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  grpc::ServerBuilder builder;
  int port = -1;
  builder.AddListeningPort(options.listen, credentials, &port);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // a few KB that decompress to MB would be worked on before anybody looks at the token
  for (int i = GRPC_COMPRESS_NONE + 1; i < GRPC_COMPRESS_ALGORITHMS_COUNT; ++i)
    builder.SetCompressionAlgorithmSupportStatus(static_cast<grpc_compression_algorithm>(i), false);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  for (grpc::Service* service : options.services) builder.RegisterService(service);
  builder.experimental().SetInterceptorCreators(MeasuredCalls());

  auto server = std::unique_ptr<Server>(new Server);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on '", options.listen,
        "': the address is taken, not of this machine, or not host:port or unix:path"));
  }
  server->address_ = options.listen;
  if (!absl::StartsWith(options.listen, "unix:")) {
    server->address_ = absl::StrCat(options.listen.substr(0, options.listen.rfind(':')), ":", port);
  }
  server->on_drain_ = std::move(options.on_drain);
  server->server_->GetHealthCheckService()->SetServingStatus(true);
  return server;
}

Server::~Server() { Drain(absl::ZeroDuration()); }

std::shared_ptr<grpc::Channel> Server::InProcessChannel() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  return server_->InProcessChannel(arguments);
}

void Server::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(serving);
}

void Server::Drain(absl::Duration grace) {
  if (server_ == nullptr) return;
  server_->GetHealthCheckService()->SetServingStatus(false);
  if (on_drain_) on_drain_();
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  server_->Wait();
  server_.reset();
}

std::string BearerToken(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find("authorization");
  if (it == metadata.end()) return "";
  absl::string_view value(it->second.data(), it->second.size());
  if (!absl::ConsumePrefix(&value, "Bearer ")) return "";
  return std::string(value);
}

absl::Status WaitHealthy(const std::string& address, absl::Duration timeout) {
  const Client client(address, "");
  const auto stub = grpc::health::v1::Health::NewStub(client.channel());
  const absl::Time deadline = absl::Now() + timeout;
  auto context = client.UnaryContext(timeout);
  context->set_wait_for_ready(true);
  grpc::health::v1::HealthCheckResponse response;
  while (true) {
    auto attempt = client.UnaryContext(deadline - absl::Now());
    attempt->set_wait_for_ready(true);
    const grpc::Status status = stub->Check(attempt.get(), {}, &response);
    if (!status.ok()) {
      return absl::UnavailableError(
          absl::StrCat(address, " is not healthy: ", status.error_message()));
    }
    if (response.status() == grpc::health::v1::HealthCheckResponse::SERVING)
      return absl::OkStatus();
    if (absl::Now() >= deadline)
      return absl::UnavailableError(absl::StrCat(address, " is not serving"));
    absl::SleepFor(absl::Milliseconds(50));
  }
}

}  // namespace backflip::rpc
