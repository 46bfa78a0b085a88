// The broker's HTTP server: pages, scenes, and the services as JSON by the Connect protocol
// (docs/protocol.md). HTTP/1.1, with TLS or behind a proxy.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_SERVER_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/preference_broker/http/gate.h"

namespace backflip::preference_broker {

struct HttpOptions {
  // host:port, with [] around an IPv6 address; port 0 takes a free one. Empty: no HTTP.
  std::string listen;
  // Folder of the built pages; empty: none are served.
  std::string web;
  // PEM files, both or neither.
  std::string tls_certificate;
  std::string tls_key;
  // URL by which browsers reach this server when a proxy with TLS is in front, which then says in
  // X-Forwarded-For where each request comes from. http:// is for this machine alone.
  std::string public_url;
  // Whether the broker can serve, for /healthz; null: it can. Thread-safe.
  std::function<bool()> ready;

  // A connection without a request is closed after `idle`. A whole request must arrive, and each
  // 64 KB of an answer be received, within `patience`.
  std::chrono::milliseconds idle{75'000};
  std::chrono::milliseconds patience{30'000};
  // How often the certificate's files are checked for changes.
  std::chrono::milliseconds renewal{60'000};
};

// A few threads carry all connections, ten thousand and more.
class HttpServer {
 public:
  // Serves until Drain; calls go to the services by `channel`, once `check` knows their token.
  // `on_drain` ends the services'
  // long polls; Drain calls it once, in its own thread, from when on every answer closes its
  // connection. Raises this process's soft limit of open files to its hard limit.
  // INVALID_ARGUMENT: invalid options, or plain HTTP that other machines can reach without a
  // proxy with TLS in front. FAILED_PRECONDITION: pages that cannot be read. UNAVAILABLE: the
  // address is taken or not of this machine.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      const HttpOptions& options, const std::shared_ptr<grpc::Channel>& channel, CheckToken check,
      std::function<void()> on_drain);
  virtual ~HttpServer() = default;

  // Where it listens, with the actual port: http://host:port or https://host:port.
  virtual const std::string& url() const = 0;

  // Accepts no more connections, closes idle ones, gives requests in progress `grace` to end,
  // and then cancels them. Blocks until all have ended. Idempotent. The services must still be
  // running.
  virtual void Drain(absl::Duration grace) = 0;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_SERVER_H_
