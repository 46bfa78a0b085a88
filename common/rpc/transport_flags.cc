#include "absl/flags/flag.h"
#include "common/base/flags.h"
#include "common/rpc/transport.h"

ABSL_FLAG(std::string, tls_certificate, "",
          "PEM file with this program's certificate and those between it and its authority. "
          "Together with --tls_key. These files are read again when they change");
ABSL_FLAG(std::string, tls_key, "", "PEM file with the certificate's key");
ABSL_FLAG(std::string, tls_ca, "",
          "PEM file with the authority that signs the certificates of other programs of this "
          "stack: clients trust no other, and servers let in only gRPC clients that it has signed. "
          "Default: clients trust the system's authorities, and servers ask for no certificate");
ABSL_FLAG(bool, insecure, false,
          "allow gRPC as plain text with other machines, for networks that nobody else can read");

namespace backflip::rpc {
namespace {
const base::ConfigCheck transport_check(&SetTransportByFlags);
}  // namespace

absl::Status SetTransportByFlags() {
  return SetTransport({.certificate = absl::GetFlag(FLAGS_tls_certificate),
                       .key = absl::GetFlag(FLAGS_tls_key),
                       .ca = absl::GetFlag(FLAGS_tls_ca),
                       .insecure = absl::GetFlag(FLAGS_insecure)});
}

}  // namespace backflip::rpc
