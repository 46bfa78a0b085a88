#include "common/rpc/client.h"

#include <stdlib.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/limits.h"
#include "common/rpc/transport.h"

namespace backflip::rpc {
namespace {

// How long a connection may take to be made, its handshake over a slow network included. A host
// that says nothing is given up after it, and tried again.
constexpr int kConnectMs = 5000;

// gRPC goes on with a handshake only while a call waits in this process, and besides every 5 s, by
// this variable, which it reads when it is first used. Once a connection has failed, calls fail at
// once until there is another: a client that has nothing else to do and pauses between its tries
// would never get through a handshake. Set before main, where no other thread reads variables.
[[maybe_unused]] const bool goes_on_by_itself =
    setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", /*replace=*/0) == 0;

}  // namespace

Client::Client(const std::string& address, std::string token)
    : address_(address), token_(std::move(token)) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // a restarted peer is found again within seconds, not minutes
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  channel_ = grpc::experimental::CreateCustomChannelWithInterceptors(
      address, CredentialsTo(address), arguments, MeasuredAttempts());
}

std::unique_ptr<grpc::ClientContext> Client::UnaryContext(absl::Duration deadline) const {
  auto context = StreamContext();
  context->set_deadline(absl::ToChronoTime(absl::Now() + deadline));
  return context;
}

std::unique_ptr<grpc::ClientContext> Client::LongPollContext() const {
  return UnaryContext(absl::Milliseconds(kMaxWaitMs) + absl::Seconds(5));
}

std::unique_ptr<grpc::ClientContext> Client::StreamContext() const {
  auto context = std::make_unique<grpc::ClientContext>();
  if (!token_.empty()) context->AddMetadata("authorization", absl::StrCat("Bearer ", token_));
  return context;
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat("cannot read the token file '", path,
                     "'; `preference-broker migrate --tokens DIR` makes one for each role"));
  }
  std::stringstream text;
  text << file.rdbuf();
  std::string token(absl::StripAsciiWhitespace(text.str()));
  if (token.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the token file '", path, "' is empty"));
  }
  return token;
}

}  // namespace backflip::rpc
