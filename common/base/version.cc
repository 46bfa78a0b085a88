#include "common/base/version.h"

#include <map>

#include "absl/strings/str_cat.h"

namespace backflip::base {
namespace {

// Used by static variables of other files, hence made by whoever comes first.
std::map<std::string, std::string>& Parts() {
  static auto* const parts = new std::map<std::string, std::string>;
  return *parts;
}

}  // namespace

absl::string_view Version() { return BACKFLIP_VERSION; }

VersionLine::VersionLine(const std::string& part, const std::string& version) {
  Parts()[part] = version;
}

std::string VersionText() {
  std::string text = absl::StrCat("backflip ", Version(), "\n");
  for (const auto& [part, version] : Parts()) absl::StrAppend(&text, part, " ", version, "\n");
  return text;
}

}  // namespace backflip::base
