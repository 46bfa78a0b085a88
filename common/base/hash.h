// SHA-256, the hash of everything that is addressed by its content.
#ifndef BACKFLIP_COMMON_BASE_HASH_H_
#define BACKFLIP_COMMON_BASE_HASH_H_

#include <string>

#include "absl/strings/string_view.h"

namespace backflip::base {

// 64 lower-case hexadecimal digits.
std::string Sha256Hex(absl::string_view bytes);

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_HASH_H_
