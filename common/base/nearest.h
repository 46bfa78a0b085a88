// The name that somebody probably meant.
#ifndef BACKFLIP_COMMON_BASE_NEAREST_H_
#define BACKFLIP_COMMON_BASE_NEAREST_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace backflip::base {

// The one of `names` that begins with what was typed, or hardly differs from it. Empty: none.
std::string Nearest(absl::string_view typed, const std::vector<std::string>& names);

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_NEAREST_H_
