// SHA-256, the hash of everything that is addressed by its content, and hexadecimal digits.
#ifndef BACKFLIP_COMMON_BASE_HASH_H_
#define BACKFLIP_COMMON_BASE_HASH_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace backflip::base {

inline constexpr size_t kSha256Bytes = 32;

// kSha256Bytes of them.
std::string Sha256(absl::string_view bytes);
// 64 lower-case hexadecimal digits.
std::string Sha256Hex(absl::string_view bytes);
// Whether `text` is such a hash by its form.
bool IsSha256Hex(absl::string_view text);

// The bytes that pairs of hexadecimal digits stand for. Requires an even number of
// digits and nothing else. (Abseil's function for this differs between its versions.)
std::string FromHex(absl::string_view digits);

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_HASH_H_
