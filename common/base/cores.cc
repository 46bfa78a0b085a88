#include "common/base/cores.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"

namespace backflip::base {
namespace {

// Hands each group's folder on, from `group` up: a group is within the limits of those above it,
// and in a container the root has its own.
template <typename Body>
void ForEachGroup(const std::string& root, const std::string& group, Body body) {
  std::string path = group;
  while (true) {
    body(root + path);
    if (path.empty()) break;
    path.resize(path.rfind('/'));
  }
}

}  // namespace

int CoresInGroup(const std::string& root, const std::string& group, int cores) {
  ForEachGroup(root, group, [&](const std::string& folder) {
    std::ifstream file(folder + "/cpu.max");
    double time = 0, period = 0;  // microseconds; "max", which is no number, for no limit
    if (file >> time >> period && period > 0) {
      cores = std::min(cores, static_cast<int>(std::ceil(time / period)));
    }
  });
  return std::max(1, cores);
}

int64_t MemoryInGroup(const std::string& root, const std::string& group, int64_t bytes) {
  ForEachGroup(root, group, [&](const std::string& folder) {
    std::ifstream file(folder + "/memory.max");
    int64_t limit = 0;  // "max", which is no number, for no limit
    if (file >> limit) bytes = std::min(bytes, limit);
  });
  return bytes;
}

std::string OwnGroup() {
  std::string group;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (absl::StartsWith(line, "0::/")) group = line.substr(3);
  }
  return group == "/" ? "" : group;
}

int UsableCores() {
  return CoresInGroup(kGroupsRoot, OwnGroup(),
                      static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace backflip::base
