// Task bundles: a task as it travels (proto/backflip/v1/task.proto).
#ifndef BACKFLIP_COMMON_SIM_BUNDLE_H_
#define BACKFLIP_COMMON_SIM_BUNDLE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "backflip/v1/task.pb.h"

namespace backflip::sim {

inline constexpr char kTaskFile[] = "task.textproto";
inline constexpr int kMaxBundleFiles = 4096;

struct Bundle {
  // The serialised v1::TaskBundle.
  std::string bytes;
  // SHA-256 of `bytes`, hexadecimal.
  std::string hash;
};

// Packs the task in `folder`: task.textproto, its model, and every file that
// the model names. The same files give the same bytes on every host. Errors
// name the file: missing, outside of the folder, too large.
absl::StatusOr<Bundle> PackBundle(const std::string& folder);

// Checks sizes and paths of a bundle that came from elsewhere; nothing is
// written to disk.
absl::StatusOr<v1::TaskBundle> UnpackBundle(const std::string& bytes);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_BUNDLE_H_
