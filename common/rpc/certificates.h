// Certificates for programs that make their key themselves and show only its public half.
#ifndef BACKFLIP_COMMON_RPC_CERTIFICATES_H_
#define BACKFLIP_COMMON_RPC_CERTIFICATES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace backflip::rpc {

struct KeyPair {
  // PEM, PKCS #8.
  std::string key;
  // DER of a SubjectPublicKeyInfo.
  std::string public_key;
};
// A new key on the curve P-256.
absl::StatusOr<KeyPair> MakeKeyPair();

// An authority that signs clients' certificates: its own certificate and its key.
class Authority {
 public:
  // `file`: PEM of the certificate and the key. INVALID_ARGUMENT: it is none.
  static absl::StatusOr<Authority> Read(const std::string& file);

  // The certificate of a client called `name`, good for as long as the authority's own, and that
  // one after it, as PEM. INVALID_ARGUMENT: `public_key` is no such key as KeyPair has.
  absl::StatusOr<std::string> Sign(absl::string_view public_key, const std::string& name) const;

 private:
  explicit Authority(std::string pem) : pem_(std::move(pem)) {}
  std::string pem_;
};

// The first certificate in a PEM file as DER, and back. INVALID_ARGUMENT: it is none.
absl::StatusOr<std::string> CertificateDer(const std::string& file);
absl::StatusOr<std::string> CertificatePem(absl::string_view der);

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_CERTIFICATES_H_
