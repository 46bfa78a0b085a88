#include "services/preference_broker/http/tls.h"

#include <openssl/ssl.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"

namespace backflip::preference_broker {

namespace ssl = boost::asio::ssl;

Tls::Tls(std::string certificate, std::string key, std::chrono::milliseconds look_again)
    : certificate_(std::move(certificate)), key_(std::move(key)), look_again_(look_again) {}

absl::StatusOr<std::unique_ptr<Tls>> Tls::Load(std::string certificate, std::string key,
                                               std::chrono::milliseconds look_again) {
  auto tls = std::unique_ptr<Tls>(new Tls(std::move(certificate), std::move(key), look_again));
  tls->stamp_ = tls->Stamp();
  ASSIGN_OR_RETURN(tls->context_, tls->LoadContext());
  tls->look_at_ = std::chrono::steady_clock::now() + look_again;
  return tls;
}

Tls::Context Tls::Current() {
  if (std::chrono::steady_clock::now() < look_at_) return context_;
  look_at_ = std::chrono::steady_clock::now() + look_again_;
  const std::string stamp = Stamp();
  if (stamp == stamp_) return context_;
  absl::StatusOr<Context> renewed = LoadContext();
  if (renewed.ok()) {
    context_ = *std::move(renewed);
    stamp_ = stamp;
    base::LogInfo("certificate renewed", {{"file", certificate_}});
  } else {
    // perhaps half written: the stamp stays as it was, so that the next check tries again
    base::LogWarning("the certificate has changed and cannot be used: the one before stays in use",
                     {{"error", renewed.status().message()}});
  }
  return context_;
}

absl::StatusOr<Tls::Context> Tls::LoadContext() const {
  const auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  // so that idle connections, of which there are many, hold no buffers
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  boost::system::error_code error;
  context->use_certificate_chain_file(certificate_, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("cannot use the certificate in '", certificate_,
                                                   "': ", error.message(),
                                                   "; it must be a readable PEM file"));
  }
  context->use_private_key_file(key_, ssl::context::pem, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot use the key in '", key_, "': ", error.message(),
                     "; it must be a readable PEM file without a password, and the key of '",
                     certificate_, "'"));
  }
  return context;
}

std::string Tls::Stamp() const {
  std::string stamp;
  for (const std::string& file : {certificate_, key_}) {
    struct stat info = {};
    stat(file.c_str(), &info);
    absl::StrAppend(&stamp, info.st_ino, " ", info.st_size, " ", info.st_mtim.tv_sec, " ",
                    info.st_mtim.tv_nsec, " ");
  }
  return stamp;
}

}  // namespace backflip::preference_broker
