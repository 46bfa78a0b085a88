// How many processors, and how much memory, this process may use.
#ifndef BACKFLIP_COMMON_BASE_CORES_H_
#define BACKFLIP_COMMON_BASE_CORES_H_

#include <cstdint>
#include <string>

namespace backflip::base {

// At least 1: those of its affinity, and no more than the processor time that its control
// groups (v2) allow it, rounded up.
int UsableCores();

// The same for a process that /proc/self/cgroup puts into `group` ("/a/b", or "" for the root),
// with the control groups in `root`, and `cores` without them.
int CoresInGroup(const std::string& root, const std::string& group, int cores);

// Where control groups are, and the one of this process, "" for the root.
inline constexpr char kGroupsRoot[] = "/sys/fs/cgroup";
std::string OwnGroup();

// Bytes that such a process may use, and no more than `bytes`.
int64_t MemoryInGroup(const std::string& root, const std::string& group, int64_t bytes);

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_CORES_H_
