#include "services/rollout_worker/task_cache.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/sim/trial.h"

namespace backflip::rollout_worker {
namespace fs = std::filesystem;
namespace {

constexpr char kUnfinished[] = "unfinished-";

bool IsHash(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

// Under a name of its own first: whoever reads `path` finds all of it.
bool WriteWhole(const fs::path& path, const std::string& bytes) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  const fs::path unfinished = path.parent_path() / absl::StrCat(kUnfinished, base::RandomHex128());
  std::ofstream file(unfinished, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (file) fs::rename(unfinished, path, error);
  if (file && !error) return true;
  std::error_code ignored;
  fs::remove(unfinished, ignored);
  return false;
}

}  // namespace

std::string DefaultCacheFolder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) {
    return absl::StrCat(cache, "/backflip");
  }
  if (const char* home = std::getenv("HOME"); home && *home) {
    return absl::StrCat(home, "/.cache/backflip");
  }
  std::error_code error;
  const fs::path temporary = fs::temp_directory_path(error);
  return (temporary / absl::StrCat("backflip-", getuid())).string();
}

TaskCache::TaskCache(std::string folder, Fetch fetch, uintmax_t most_bytes)
    : folder_(std::move(folder)), fetch_(std::move(fetch)), most_bytes_(most_bytes) {}

void TaskCache::Shrink() const {
  struct Kept {
    fs::file_time_type used;
    uintmax_t bytes;
    fs::path path;
  };
  std::vector<Kept> kept;
  std::error_code error;
  for (fs::directory_iterator file(folder_, error), end; !error && file != end;
       file.increment(error)) {
    const fs::path& path = file->path();
    const bool bundle = path.extension() == ".bundle";
    if (!bundle && !absl::StartsWith(path.filename().string(), kUnfinished)) continue;
    std::error_code gone;  // by another process
    const fs::file_time_type used = fs::last_write_time(path, gone);
    const uintmax_t bytes = fs::file_size(path, gone);
    if (gone) continue;
    if (bundle) {
      kept.push_back({used, bytes, path});
    } else if (used < fs::file_time_type::clock::now() - std::chrono::hours(1)) {
      fs::remove(path, gone);  // of a process that was killed
    }
  }
  std::sort(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) { return a.used > b.used; });
  uintmax_t total = 0;
  for (const Kept& file : kept) {
    total += file.bytes;
    if (total > most_bytes_ && &file != &kept.front()) fs::remove(file.path, error);
  }
}

absl::StatusOr<std::string> TaskCache::Bundle(const std::string& sha256) {
  if (!IsHash(sha256)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the run's bundle hash is '", sha256, "'; it must be 64 hexadecimal digits"));
  }
  const fs::path path = fs::path(folder_) / absl::StrCat(sha256, ".bundle");
  if (std::ifstream file(path, std::ios::binary); file) {
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (base::Sha256Hex(bytes) == sha256) {
      std::error_code ignored;
      fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
      return bytes;
    }
    base::LogWarning("a cached bundle is damaged", {{"file", path.string()}});
  }
  ASSIGN_OR_RETURN(std::string bytes, fetch_(sha256));
  if (base::Sha256Hex(bytes) != sha256) {
    return absl::DataLossError(
        absl::StrCat("the bundle that came for hash ", sha256, " has another hash"));
  }
  if (!WriteWhole(path, bytes)) {
    base::LogWarning("cannot keep a bundle", {{"file", path.string()}});
  }
  Shrink();
  return bytes;
}

absl::StatusOr<std::shared_ptr<const sim::Task>> TaskCache::Get(const v1::TaskInfo& info) {
  if (task_ == nullptr || hash_ != info.bundle_hash()) {
    ASSIGN_OR_RETURN(const std::string bytes, Bundle(info.bundle_hash()));
    // a stranger's model is first loaded where it can do no harm
    RETURN_IF_ERROR(sim::TryTaskBundle(bytes));
    ASSIGN_OR_RETURN(task_, sim::Task::FromBundle(bytes));
    hash_ = info.bundle_hash();
  }
  if (task_->fingerprint() != info.fingerprint()) {
    return absl::FailedPreconditionError(
        absl::StrCat("task ", info.name(), " has fingerprint ", task_->fingerprint(),
                     " on this worker and ", info.fingerprint(),
                     " where the run was made: it would be simulated differently; use the "
                     "same version of MuJoCo in both places"));
  }
  return task_;
}

}  // namespace backflip::rollout_worker
