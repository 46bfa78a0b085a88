// The certificate that the server shows.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_TLS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_TLS_H_

#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace backflip::preference_broker {

// TLS 1.2 or newer with a certificate from two PEM files. A renewed certificate needs no
// restart: when a client connects, the files are checked for changes. Not thread-safe.
class Tls {
 public:
  using Context = std::shared_ptr<boost::asio::ssl::context>;

  // `look_again`: least time between two checks. INVALID_ARGUMENT: a file cannot be read, is no
  // PEM, or the key is not the certificate's.
  static absl::StatusOr<std::unique_ptr<Tls>> Load(std::string certificate, std::string key,
                                                   std::chrono::milliseconds look_again);

  // The context for the next connection. If the files have become unusable, the old certificate
  // stays in use, with a warning in the log.
  Context Current();

 private:
  Tls(std::string certificate, std::string key, std::chrono::milliseconds look_again);
  absl::StatusOr<Context> LoadContext() const;
  // Changes whenever the files change.
  std::string Stamp() const;

  const std::string certificate_;
  const std::string key_;
  const std::chrono::milliseconds look_again_;
  std::string stamp_;
  Context context_;
  std::chrono::steady_clock::time_point look_at_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_TLS_H_
