// The flags of a program (ABSL_FLAG): what they may be, and where their values come from. The
// command line decides, then the environment (BACKFLIP_ and the name in capitals), then the
// default.
#ifndef BACKFLIP_COMMON_BASE_FLAGS_H_
#define BACKFLIP_COMMON_BASE_FLAGS_H_

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace backflip::base {

// What the value of one flag must be, beyond its type. A static object beside the flag; --help says
// it, and every start and --check-config hold the value to it.
class FlagRule {
 public:
  // `least` to `most`, or `least` or more.
  template <typename T>
  FlagRule(const absl::Flag<T>& flag, std::common_type_t<T> least,
           std::common_type_t<T> most = std::numeric_limits<T>::max())
      : FlagRule(flag,
                 most == std::numeric_limits<T>::max() ? absl::StrCat(least, " or more")
                                                       : absl::StrCat(least, " to ", most),
                 [least, most](const T& value) { return value >= least && value <= most; }) {}
  // `allowed` in words: "it must be " + allowed.
  template <typename T>
  FlagRule(const absl::Flag<T>& flag, std::string allowed,
           std::function<bool(const std::common_type_t<T>&)> check)
      : FlagRule(absl::GetFlagReflectionHandle(flag).Name(), std::move(allowed),
                 [&flag, check = std::move(check)] { return check(absl::GetFlag(flag)); }) {}

 private:
  FlagRule(absl::string_view name, std::string allowed, std::function<bool()> check);
};

// What flags must be together, and files that they name: as FlagRule.
struct ConfigCheck {
  explicit ConfigCheck(absl::Status (*check)());
};

// Words for FlagRule, and whether a text is that.
inline constexpr char kAddressWords[] = "host:port or unix:path";
bool IsAddress(absl::string_view text);
// host:port alone, with a port of 0 to 65535.
bool IsHostAndPort(absl::string_view text);

// "BACKFLIP_TOKEN_FILE" for "token_file" or "token-file".
std::string VariableOf(absl::string_view flag);

// What `environment` says of the flags `own`, by their names. INVALID_ARGUMENT, with the nearest
// name: it has a variable BACKFLIP_… that no program of Backflip knows. Those of other programs may
// be there, so that one environment serves all.
absl::StatusOr<std::map<std::string, std::string>> FlagsOfEnvironment(
    const std::vector<std::string>& own, const char* const* environment);

// A text in which passwords of URLs are replaced by ***.
std::string WithoutPasswords(absl::string_view text);

struct ParsedFlags {
  // The arguments that are no flags.
  std::vector<absl::string_view> words;
  // Where each flag's value comes from, for people: "default".
  std::map<std::string, std::string> sources;
  bool help = false, version = false, print_config = false, check_config = false;
};

// Sets this program's flags. --name=value, --name value, --name or --noname for a bool; - and _
// alike in names; nothing after "--" is a flag. `arguments` are without the program's name, and
// must outlive the result. INVALID_ARGUMENT: there is no such flag, with the nearest name, or the
// text is no value of it.
absl::StatusOr<ParsedFlags> ParseFlags(const std::vector<absl::string_view>& arguments,
                                       const char* const* environment);

// Every rule and check that is broken, a sentence each.
std::vector<std::string> BrokenRules();

// All flags, with what they are, may be, default and variable.
std::string FlagsHelp();
// A line for each flag: its value and where that comes from, without passwords.
std::string ConfigText(const std::map<std::string, std::string>& sources);

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_FLAGS_H_
