// What may keep a stack from running here, and what to do about it. Nothing is changed.
#ifndef BACKFLIP_CLI_DOCTOR_CHECKS_H_
#define BACKFLIP_CLI_DOCTOR_CHECKS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace backflip::cli {

enum class Level { kOk, kWarning, kError };

struct Finding {
  Level level = Level::kOk;
  // Such as "database".
  std::string subject;
  std::string found;
  // What to do; empty where nothing is wrong.
  std::string advice = "";
};
using Findings = std::vector<Finding>;

// Programs that must be of one version with this one. Of those in `folder`: version, commit,
// protocol, schema, LibTorch, MuJoCo, and the library that serves LibTorch's matrix products.
// Blocks for seconds.
Findings CheckPrograms(const std::string& folder);
// `versions`: what each of them says to --version, by its name.
Findings ComparePrograms(const std::vector<std::pair<std::string, std::string>>& versions);

// The database of a URL, as `preference-broker inspect` sees it: whether it answers, migrations,
// what is on disk when it is acknowledged, its clock, its disk where that is here. Blocks for
// seconds.
Findings CheckDatabase(const std::string& url);
// `text`: what that prints.
Findings ReadInspection(absl::string_view text);

// Draws a moment of a task that comes with Backflip, without a display.
Finding CheckRendering();

// Whether a program could listen at host:port.
Finding CheckPort(absl::string_view address);

// A PEM file of certificates: how long the one that ends first holds at `now`; where `key` is not
// empty, whether that is its key.
Finding CheckCertificate(const std::string& file, const std::string& key, absl::Time now);

// The disk of a folder, which holds `bytes` (0: unknown) and was begun at `since`: what is free,
// and the day when that is used up if the folder grows on as it has on the average.
Finding CheckDisk(absl::string_view subject, const std::string& folder, int64_t bytes,
                  absl::Time since, absl::Time now);
// The same, of all that is below the data folder.
Finding CheckDataFolder(const std::string& folder, absl::Time now);

// Processors and memory that a process may use in the control group `group` of `root` (cgroup v2)
// on a machine with so many of them, against what a stack takes.
Findings CheckLimits(const std::string& root, const std::string& group, int cores, int64_t memory);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_DOCTOR_CHECKS_H_
