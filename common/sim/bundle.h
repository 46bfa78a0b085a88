// Task bundles: a task as it travels (proto/backflip/v1/task.proto).
#ifndef BACKFLIP_COMMON_SIM_BUNDLE_H_
#define BACKFLIP_COMMON_SIM_BUNDLE_H_

#include <cstddef>
#include <functional>
#include <string>

#include "absl/status/status.h"
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

// Gives the file at a normalised path relative to the task's folder; null when
// there is none. The string lives as long as the reader.
using FileReader = std::function<const std::string*(const std::string& path)>;

// `a/./b/../c` as `a/c`; empty when it leaves the folder or is absolute.
std::string NormalizePath(const std::string& path);

// Reads the model at a path, and asks `reader` for it and every file that it names.
// InvalidArgument: it is no model.
using ModelReader = std::function<absl::Status(const std::string& path, const FileReader& reader)>;

// Packs the task in `folder`: task.textproto, its model, and every other file that
// `read_model` asks for. The same files give the same bytes on every host. Errors
// name the file: missing, outside of the folder, too large, no model.
absl::StatusOr<Bundle> PackBundle(const std::string& folder, const ModelReader& read_model);

// Checks sizes and paths of a bundle that came from elsewhere; nothing is
// written to disk.
absl::StatusOr<v1::TaskBundle> UnpackBundle(const std::string& bytes);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_BUNDLE_H_
