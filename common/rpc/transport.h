// How connections are protected: by TLS, wherever they leave this machine.
#ifndef BACKFLIP_COMMON_RPC_TRANSPORT_H_
#define BACKFLIP_COMMON_RPC_TRANSPORT_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace backflip::rpc {

// PEM files, which are read again when they change.
struct Transport {
  // What this program shows of itself, both or neither: every server beyond this machine must,
  // and clients where a server asks for it.
  std::string certificate;
  std::string key;
  // Who signs the certificates of others. A client trusts it instead of the system's authorities; a
  // server lets in only clients with a certificate of its (mutual TLS).
  std::string ca;
  // Plain text is allowed beyond this machine.
  bool insecure = false;
};

// Of all clients and servers that this process makes from now on. INVALID_ARGUMENT: a certificate
// without its key, or a file that is no readable PEM.
absl::Status SetTransport(Transport transport);

// Sets what --tls_certificate, --tls_key, --tls_ca and --insecure say, which are defined here for
// the programs that call this.
absl::Status SetTransportByFlags();

// Whether an address, unix:path or host:port, can only mean this machine.
bool IsOnThisMachine(absl::string_view address);

// Whether clients speak plain text with an address: on this machine, but for where there is a `ca`,
// and with `insecure`. Always by unix:path.
bool IsPlainTo(const std::string& address);

// TLS, unless IsPlainTo. The server's name must be in its certificate.
std::shared_ptr<grpc::ChannelCredentials> CredentialsTo(const std::string& address);

// TLS where there is a `certificate`, but for unix: sockets. FAILED_PRECONDITION: other machines
// could reach the address, and it would be plain text. `open`: methods, as
// "/package.Service/Method", that clients may call without a certificate where there is a `ca`.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CredentialsAt(
    const std::string& address, const std::set<std::string>& open = {});

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_TRANSPORT_H_
