#include "common/rpc/transport.h"

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/loopback.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/rpc/protocol.h"

namespace backflip::rpc {
namespace {

namespace tls = grpc::experimental;

const base::VersionLine version_line("protocol", absl::StrCat(kProtocolMajor, ".", kProtocolMinor));

constexpr unsigned kLookAgainSeconds = 2;

base::Mutex mutex;
Transport current ABSL_GUARDED_BY(mutex);

Transport Current() {
  base::MutexLock lock(&mutex);
  return current;
}

absl::Status CheckPem(absl::string_view flag, const std::string& file, absl::string_view kind) {
  if (file.empty()) return absl::OkStatus();
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  if (in && absl::StrContains(text.str(), kind)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      flag, " names '", file, "', which is no readable PEM file with a ", kind, " in it"));
}

bool IsUnix(absl::string_view address) { return absl::StartsWith(address, "unix:"); }

std::shared_ptr<tls::FileWatcherCertificateProvider> Watch(const Transport& transport) {
  return std::make_shared<tls::FileWatcherCertificateProvider>(transport.key, transport.certificate,
                                                               transport.ca, kLookAgainSeconds);
}

// Refuses clients without a certificate all methods but a few. Those of another authority do not
// come so far.
class CertificateCheck final : public grpc::AuthMetadataProcessor {
 public:
  explicit CertificateCheck(std::set<std::string> open) : open_(std::move(open)) {}

  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* peer, OutputMetadata*,
                       OutputMetadata*) override {
    if (peer->IsPeerAuthenticated()) return grpc::Status::OK;
    const auto path = metadata.find(":path");
    if (path != metadata.end() &&
        open_.count(std::string(path->second.data(), path->second.size())) > 0)
      return grpc::Status::OK;
    return grpc::Status(
        grpc::StatusCode::UNAUTHENTICATED,
        "this server asks for a client certificate: give --tls_certificate and --tls_key");
  }

 private:
  const std::set<std::string> open_;
};

bool IsPlain(const Transport& transport, const std::string& address) {
  const bool optional = IsOnThisMachine(address) || transport.insecure;
  return IsUnix(address) || (optional && transport.ca.empty());
}

}  // namespace

absl::Status SetTransport(Transport transport) {
  if (transport.certificate.empty() != transport.key.empty()) {
    return absl::InvalidArgumentError(
        "--tls_certificate and --tls_key belong together: give both or neither");
  }
  RETURN_IF_ERROR(CheckPem("--tls_certificate", transport.certificate, "CERTIFICATE-----"));
  RETURN_IF_ERROR(CheckPem("--tls_key", transport.key, "PRIVATE KEY-----"));
  RETURN_IF_ERROR(CheckPem("--tls_ca", transport.ca, "CERTIFICATE-----"));
  base::MutexLock lock(&mutex);
  current = std::move(transport);
  return absl::OkStatus();
}

bool IsOnThisMachine(absl::string_view address) {
  if (IsUnix(address)) return true;
  const absl::string_view host = address.substr(0, address.rfind(':'));
  return host == "[::1]" || base::IsLoopback4(host);
}

bool IsPlainTo(const std::string& address) { return IsPlain(Current(), address); }

std::shared_ptr<grpc::ChannelCredentials> CredentialsTo(const std::string& address) {
  const Transport transport = Current();
  if (IsPlain(transport, address)) return grpc::InsecureChannelCredentials();
  if (transport.ca.empty() && transport.certificate.empty())
    return grpc::SslCredentials(grpc::SslCredentialsOptions());
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(Watch(transport));
  if (!transport.ca.empty()) options.watch_root_certs();
  if (!transport.certificate.empty()) options.watch_identity_key_cert_pairs();
  return tls::TlsCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CredentialsAt(
    const std::string& address, const std::set<std::string>& open) {
  const Transport transport = Current();
  if (IsUnix(address)) return grpc::InsecureServerCredentials();
  if (!transport.certificate.empty()) {
    tls::TlsServerCredentialsOptions options(Watch(transport));
    options.watch_identity_key_cert_pairs();
    if (transport.ca.empty()) return tls::TlsServerCredentials(options);
    options.watch_root_certs();
    options.set_cert_request_type(open.empty()
                                      ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                      : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
    auto credentials = tls::TlsServerCredentials(options);
    if (!open.empty())
      credentials->SetAuthMetadataProcessor(std::make_shared<CertificateCheck>(open));
    return credentials;
  }
  if (IsOnThisMachine(address) || transport.insecure) return grpc::InsecureServerCredentials();
  return absl::FailedPreconditionError(absl::StrCat(
      "--listen ", address,
      " can be reached from other machines, and without TLS whoever is on the way could read "
      "tokens: give --tls_certificate and --tls_key (deploy/certificates makes some), or "
      "--insecure if you trust the network, or listen on 127.0.0.1 or unix:path"));
}

}  // namespace backflip::rpc
