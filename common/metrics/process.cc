#include "common/metrics/process.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"

namespace backflip::metrics {
namespace {

std::string FileText(const char* path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Fields of /proc/self/stat from the third on, which follow the name in parentheses (proc(5)).
std::vector<std::string> StatFields() {
  const std::string stat = FileText("/proc/self/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  return {std::istream_iterator<std::string>(fields), {}};
}

// Seconds since the epoch; known once, so that it does not move with the clock.
double StartTime(double ticks_after_boot) {
  static const double start = [=] {
    double uptime = 0;
    std::istringstream(FileText("/proc/uptime")) >> uptime;
    return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()) - uptime +
           ticks_after_boot / sysconf(_SC_CLK_TCK);
  }();
  return start;
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessSource::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  const auto add = [&](const char* name, const char* help, double value, bool counter = false) {
    Family family(name, help, counter);
    family.Add(value);
    families.push_back(std::move(family).Take());
  };
  const std::vector<std::string> stat = StatFields();
  // user and system time, start, pages: fields 14, 15, 22 and 24
  if (stat.size() > 21) {
    add("process_cpu_seconds_total", "Processor time used.",
        (std::stod(stat[11]) + std::stod(stat[12])) / sysconf(_SC_CLK_TCK), /*counter=*/true);
    add("process_start_time_seconds", "When the process began, since the epoch.",
        StartTime(std::stod(stat[19])));
    add("process_resident_memory_bytes", "Memory in use.",
        std::stod(stat[21]) * sysconf(_SC_PAGESIZE));
  }
  std::error_code error;
  std::filesystem::directory_iterator open("/proc/self/fd", error);
  if (!error) add("process_open_fds", "Open files and sockets.", std::distance(open, {}));
  return families;
}

}  // namespace backflip::metrics
