// What --version of every program says.
#ifndef BACKFLIP_COMMON_BASE_VERSION_H_
#define BACKFLIP_COMMON_BASE_VERSION_H_

#include <string>

#include "absl/strings/string_view.h"

namespace backflip::base {

// Of all programs, such as 0.1.0: as the project's CMakeLists.txt says.
absl::string_view Version();

// A part of this program and which one it is. A static variable of the file that knows, so that a
// program names what it links.
struct VersionLine {
  VersionLine(const std::string& part, const std::string& version);
};

// "backflip 0.1.0" and the lines of all parts, in the order of their names.
std::string VersionText();

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_VERSION_H_
