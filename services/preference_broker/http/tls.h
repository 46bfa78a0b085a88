// The certificate that connections are made with.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_TLS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_TLS_H_

#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace backflip::preference_broker {

// TLS 1.2 or newer from two PEM files. They are looked at again once a minute,
// when somebody connects: a renewed certificate needs no restart. Not thread-safe.
class Tls {
 public:
  using Context = std::shared_ptr<boost::asio::ssl::context>;

  // `look_again`: how often. INVALID_ARGUMENT: a file cannot be read, is no PEM, or the
  // key is not the certificate's.
  static absl::StatusOr<std::unique_ptr<Tls>> Load(std::string certificate, std::string key,
                                                   std::chrono::milliseconds look_again);

  // For the next connection. Files that have become unusable leave the old
  // certificate in use, with a warning in the log.
  Context Current();

 private:
  Tls(std::string certificate, std::string key, std::chrono::milliseconds look_again);
  absl::StatusOr<Context> LoadContext() const;
  // Differs whenever the files do.
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
