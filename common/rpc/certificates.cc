#include "common/rpc/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::rpc {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

// Larger than any key on the curve.
constexpr size_t kMostKeyBytes = 256;

Bio Reader(absl::string_view bytes) {
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  return std::string(data, size);
}

// Empty where OpenSSL fails, which it does only without memory.
std::string Pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  return PEM_write_bio_X509(bio.get(), certificate) == 1 ? TextOf(bio.get()) : "";
}

absl::StatusOr<std::string> ReadFile(const std::string& file) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  if (in) return text.str();
  return absl::InvalidArgumentError(absl::StrCat("cannot read '", file, "'"));
}

absl::StatusOr<Key> PublicKey(absl::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  Key key(der.size() > kMostKeyBytes ? nullptr
                                     : d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  char curve[32] = {};
  size_t length = 0;
  if (key != nullptr && EVP_PKEY_is_a(key.get(), "EC") == 1 &&
      EVP_PKEY_get_group_name(key.get(), curve, sizeof(curve), &length) == 1 &&
      absl::string_view(curve, length) == SN_X9_62_prime256v1)
    return key;
  return absl::InvalidArgumentError(
      "public_key must be the DER of a SubjectPublicKeyInfo on the curve P-256");
}

bool AddExtension(X509* certificate, int nid, const char* value) {
  const std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, nid, value));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool SetRandomSerial(X509* certificate) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) return false;
  bytes[0] &= 0x7f;  // RFC 5280, section 4.1.2.2: positive
  const std::unique_ptr<BIGNUM, Freed<BN_free>> number(BN_bin2bn(bytes, sizeof(bytes), nullptr));
  return BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

}  // namespace

absl::StatusOr<KeyPair> MakeKeyPair() {
  const Key key(EVP_EC_gen(SN_X9_62_prime256v1));
  const Bio pem(BIO_new(BIO_s_mem())), der(BIO_new(BIO_s_mem()));
  if (key == nullptr ||
      PEM_write_bio_PrivateKey(pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      i2d_PUBKEY_bio(der.get(), key.get()) != 1)
    return absl::InternalError("OpenSSL cannot make a key");
  return KeyPair{TextOf(pem.get()), TextOf(der.get())};
}

absl::StatusOr<Authority> Authority::Read(const std::string& file) {
  ASSIGN_OR_RETURN(std::string pem, ReadFile(file));
  const Certificate certificate(PEM_read_bio_X509(Reader(pem).get(), nullptr, nullptr, nullptr));
  const Key key(PEM_read_bio_PrivateKey(Reader(pem).get(), nullptr, nullptr, nullptr));
  if (certificate != nullptr && key != nullptr &&
      X509_check_private_key(certificate.get(), key.get()) == 1 &&
      X509_check_ca(certificate.get()) == 1)
    return Authority(std::move(pem));
  return absl::InvalidArgumentError(absl::StrCat(
      "'", file, "' must hold, as PEM, an authority's certificate and the key that belongs to it"));
}

absl::StatusOr<std::string> Authority::Sign(absl::string_view public_key,
                                            const std::string& name) const {
  ASSIGN_OR_RETURN(const Key subject, PublicKey(public_key));
  const Certificate own(PEM_read_bio_X509(Reader(pem_).get(), nullptr, nullptr, nullptr));
  const Key key(PEM_read_bio_PrivateKey(Reader(pem_).get(), nullptr, nullptr, nullptr));
  const Certificate made(X509_new());
  const bool ok =
      made != nullptr && X509_set_version(made.get(), X509_VERSION_3) == 1 &&
      SetRandomSerial(made.get()) &&
      X509_set_issuer_name(made.get(), X509_get_subject_name(own.get())) == 1 &&
      X509_NAME_add_entry_by_NID(X509_get_subject_name(made.get()), NID_commonName, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0) == 1 &&
      // from its authority's beginning: the host's clock may be behind
      X509_set1_notBefore(made.get(), X509_get0_notBefore(own.get())) == 1 &&
      X509_set1_notAfter(made.get(), X509_get0_notAfter(own.get())) == 1 &&
      X509_set_pubkey(made.get(), subject.get()) == 1 &&
      AddExtension(made.get(), NID_basic_constraints, "critical,CA:FALSE") &&
      AddExtension(made.get(), NID_key_usage, "critical,digitalSignature") &&
      AddExtension(made.get(), NID_ext_key_usage, "clientAuth") &&
      X509_sign(made.get(), key.get(), EVP_sha256()) > 0;
  if (!ok) return absl::InternalError("OpenSSL cannot sign a certificate");
  return Pem(made.get()) + Pem(own.get());
}

absl::StatusOr<std::string> CertificateDer(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(file));
  const Certificate certificate(PEM_read_bio_X509(Reader(pem).get(), nullptr, nullptr, nullptr));
  const Bio der(BIO_new(BIO_s_mem()));
  if (certificate != nullptr && i2d_X509_bio(der.get(), certificate.get()) == 1)
    return TextOf(der.get());
  return absl::InvalidArgumentError(absl::StrCat("'", file, "' holds no certificate as PEM"));
}

absl::StatusOr<std::string> CertificatePem(absl::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const Certificate certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate != nullptr) return Pem(certificate.get());
  return absl::InvalidArgumentError("this is no certificate");
}

}  // namespace backflip::rpc
