#include "common/rpc/collect_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace backflip::rpc {

std::string CollectToken(absl::string_view secret, int64_t token_id) {
  const std::string id = absl::StrCat(token_id);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  // fails only when OpenSSL itself is broken
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(id.data()), id.size(), digest, &size) == nullptr)
    std::abort();
  return absl::StrCat(
      id, ".",
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), size)));
}

int64_t HolderOf(absl::string_view token, absl::string_view secret) {
  int64_t token_id = 0;
  if (!absl::SimpleAtoi(token.substr(0, token.find('.')), &token_id) || token_id < 1) return 0;
  const std::string expected = CollectToken(secret, token_id);
  const bool same = token.size() == expected.size() &&
                    CRYPTO_memcmp(token.data(), expected.data(), expected.size()) == 0;
  return same ? token_id : 0;
}

}  // namespace backflip::rpc
