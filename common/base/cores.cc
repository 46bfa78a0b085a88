#include "common/base/cores.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"

namespace backflip::base {

int CoresInGroup(const std::string& root, const std::string& group, int cores) {
  // a group is within the limits of those above it, and in a container the root has its own
  std::string path = group;
  while (true) {
    std::ifstream file(root + path + "/cpu.max");
    double time = 0, period = 0;  // microseconds; "max", which is no number, for no limit
    if (file >> time >> period && period > 0) {
      cores = std::min(cores, static_cast<int>(std::ceil(time / period)));
    }
    if (path.empty()) break;
    path.resize(path.rfind('/'));
  }
  return std::max(1, cores);
}

int UsableCores() {
  std::string group;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (absl::StartsWith(line, "0::/")) group = line.substr(3);
  }
  if (group == "/") group.clear();
  return CoresInGroup("/sys/fs/cgroup", group,
                      static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace backflip::base
