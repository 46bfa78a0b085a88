// One line per event: JSON where stderr is no terminal, a human form on one.
// Thread-safe; never blocks on anything but stderr.
#ifndef BACKFLIP_COMMON_BASE_LOG_H_
#define BACKFLIP_COMMON_BASE_LOG_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/string_view.h"

namespace backflip::base {

struct LogValue {
  template <typename T>
  LogValue(T v) {  // NOLINT: implicit, so that fields read as {"key", value}
    if constexpr (std::is_same_v<T, bool>) {
      value = v;
    } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      value = static_cast<int64_t>(v);
    } else if constexpr (std::is_floating_point_v<T>) {
      value = static_cast<double>(v);
    } else {
      value = std::string(v);
    }
  }
  std::variant<bool, int64_t, double, std::string> value;
};

using LogFields = std::initializer_list<std::pair<absl::string_view, LogValue>>;

// Names the service in each line. Without a call, lines carry no service.
void InitLogging(absl::string_view service);

// `event` is a short sentence without values: "batch complete". Values are
// fields, so that logs can be searched by them.
void LogInfo(absl::string_view event, LogFields fields = {});
void LogWarning(absl::string_view event, LogFields fields = {});
void LogError(absl::string_view event, LogFields fields = {});

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_LOG_H_
