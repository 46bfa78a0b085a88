#include "common/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace backflip::base {
namespace {

struct Log {
  Log() : logger(spdlog::stderr_color_mt("backflip")), json(!isatty(STDERR_FILENO)) {
    logger->set_pattern(json ? "%v" : "%H:%M:%S.%e %^%L%$ %v");
    logger->flush_on(spdlog::level::info);
  }
  std::shared_ptr<spdlog::logger> logger;
  const bool json;
  std::string service;
};

Log& TheLog() {
  static Log* const log = new Log;
  return *log;
}

void Write(spdlog::level::level_enum level, absl::string_view event, LogFields fields) {
  Log& log = TheLog();
  if (log.json) {
    nlohmann::ordered_json line;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    line["ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    const spdlog::string_view_t name = spdlog::level::to_string_view(level);
    line["level"] = std::string(name.data(), name.size());
    if (!log.service.empty()) line["service"] = log.service;
    line["event"] = std::string(event);
    for (const auto& [key, field] : fields) {
      std::visit([&line, k = std::string(key)](const auto& v) { line[k] = v; }, field.value);
    }
    // a name from outside may hold bytes that are no UTF-8
    log.logger->log(level, "{}",
                    line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  std::string line =
      log.service.empty() ? std::string(event) : absl::StrCat(log.service, ": ", event);
  for (const auto& [key, field] : fields) {
    std::visit(
        [&line, k = key](const auto& v) {
          if constexpr (std::is_same_v<std::decay_t<decltype(v)>, bool>) {
            absl::StrAppend(&line, "  ", k, "=", v ? "true" : "false");
          } else {
            absl::StrAppend(&line, "  ", k, "=", v);
          }
        },
        field.value);
  }
  log.logger->log(level, "{}", line);
}

}  // namespace

void InitLogging(absl::string_view service) { TheLog().service = std::string(service); }

void LogInfo(absl::string_view event, LogFields fields) {
  Write(spdlog::level::info, event, fields);
}
void LogWarning(absl::string_view event, LogFields fields) {
  Write(spdlog::level::warn, event, fields);
}
void LogError(absl::string_view event, LogFields fields) {
  Write(spdlog::level::err, event, fields);
}

}  // namespace backflip::base
